"""Two processes of the gateway on one database: they share the work, and either can die in the middle of it.

Bank B's engineer sends to both in turn. What one has taken the other may send to the core, and the other way round; a
bank is told once of each end while both live, and is told all the same by the one that is left.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from platform_harness import Engineer, Platform, uetr_of, wait_until

from hakika.simulator.checker import Targets, verify
from hakika.simulator.folder import StateFolder
from hakika.store.ports import HeldPorts

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

SETTLED_S = 40.0
MESSAGES = "SELECT tries, settled_ms IS NOT NULL FROM outgoing_message"
HOLDERS = """
SELECT count(DISTINCT lease_holder) FROM attempt JOIN transfer ON transfer.id = attempt.transfer WHERE uetr = ANY(%s)
"""
STATUSES = "SELECT status, count(*) FROM transfer WHERE uetr = ANY(%s) GROUP BY 1"


class Second:
    """A gateway with the settings of the first, but for its port."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self._ports = HeldPorts()
        port = self._ports.take()
        first = StateFolder(platform.folder / "up").settings("gateway").read_text()
        lines = [
            f'listen = "127.0.0.1:{port}"' if line.startswith("listen = ") else line for line in first.splitlines()
        ]
        settings = folder / "second.toml"
        settings.write_text("\n".join(lines) + "\n")
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "second.log").open("ab")
        command = [sys.executable, "-m", "hakika.cli", "serve", "gateway", "--settings", str(settings)]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            wait_until(self._ready, within_s=30)
        except AssertionError as late:
            self.kill()
            raise AssertionError((folder / "second.log").read_text()[-3000:]) from late

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._log.close()
        self._ports.release()

    def _ready(self) -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return httpx2.get(f"{self.url}/readyz", timeout=1, trust_env=False).status_code == 200
        return False


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    running = Platform(tmp_path, scale=60)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def second(platform: Platform, tmp_path: Path) -> Iterator[Second]:
    process = Second(platform, tmp_path)
    yield process
    if process.process.poll() is None:
        process.kill()


def send(engineer: Engineer, platform: Platform, to: list[str], count: int) -> list[str]:
    """So many messages of 3 transfers, to these gateways in turn; their UETRs."""
    wallets = platform.ready["wallets"]
    sent: list[str] = []
    for number in range(count):
        transfers = [engineer.transfer(wallets[(3 * number + one) % len(wallets)], "10.00") for one in range(3)]
        engineer.gateway = to[number % len(to)]
        answer = engineer.send(engineer.message(*transfers))
        assert answer.status == 202, answer.body
        sent += [uetr_of(transfer) for transfer in transfers]
    return sent


def until_it_sends(engineer: Engineer, platform: Platform, second: Second) -> list[str]:
    """A gateway that is ready takes custody; it sends once it has spoken with the core. What was sent meanwhile."""
    sent = send(engineer, platform, [engineer.gateway], 1)

    def both_have_sent() -> bool:
        sent.extend(send(engineer, platform, [second.url], 1))
        return platform.rows("gateway", HOLDERS, sent) == [(2,)]

    first = engineer.gateway
    wait_until(both_have_sent, within_s=SETTLED_S)
    engineer.gateway = first
    return sent


def completed(platform: Platform, uetrs: list[str]) -> bool:
    return dict(platform.rows("gateway", STATUSES, uetrs)) == {"COMPLETED": len(uetrs)}


def owed(platform: Platform) -> int:
    """Messages that a bank has not taken, and facts that no message carries."""
    waiting = platform.rows("gateway", "SELECT count(*) FROM outbox WHERE msg_id IS NULL")[0][0]
    return int(waiting) + sum(not settled for _, settled in platform.rows("gateway", MESSAGES))


def books_are_right(platform: Platform) -> None:
    """Of core and gateway; bank B's own know nothing of what its engineer sends."""
    urls = platform.ready["databases"]
    found = verify(Targets(urls["core"], urls["gateway"], {}, live=True, settled=True))
    assert found.ok, [str(one) for one in found.findings]


def test_two_share_the_work_and_tell_each_end_once(platform: Platform, second: Second) -> None:
    with Engineer(platform, "bank-b") as engineer:
        before = until_it_sends(engineer, platform, second)
        sent = send(engineer, platform, [engineer.gateway, second.url], 60)
    wait_until(lambda: completed(platform, before + sent), within_s=SETTLED_S)
    wait_until(lambda: owed(platform) == 0, within_s=SETTLED_S)
    told = platform.rows("gateway", MESSAGES)
    assert [tries for tries, _ in told] == [1] * len(told)
    assert platform.rows("gateway", HOLDERS, sent) == [(2,)]
    books_are_right(platform)


def test_what_a_dead_one_leaves_behind_is_ended_and_told_by_the_other(platform: Platform, second: Second) -> None:
    with Engineer(platform, "bank-b") as engineer:
        first = engineer.gateway
        sent = send(engineer, platform, [first, second.url], 20)
        sent += send(engineer, platform, [second.url], 20)
        second.kill()
        left = platform.rows("gateway", "SELECT count(*) FROM transfer WHERE status <> 'COMPLETED'")[0][0] + owed(
            platform
        )
        sent += send(engineer, platform, [first], 5)
    assert left > 0, "killed too late: it had ended and told everything"
    wait_until(lambda: completed(platform, sent), within_s=SETTLED_S)
    wait_until(lambda: owed(platform) == 0, within_s=SETTLED_S)
    books_are_right(platform)
