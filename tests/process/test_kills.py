"""Real kills of every process and of PostgreSQL, under traffic, one after the other; then everything is recounted.

Customers of both banks keep sending. Each part is killed with SIGKILL and comes back by itself. At the end every
transfer that a customer was debited for is final, and `hakika verify` finds the books right to the cent.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest
from platform_harness import Platform, wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

PARTS = ("gateway", "core", "gateway-postgres", "core-postgres", "bank-a", "bank-b")
PER_S = 15
OPEN = "SELECT count(*) FROM transfer WHERE status IN ('RECEIVED', 'IN_FLIGHT')"
UNACKNOWLEDGED = "SELECT count(*) FROM payment_return WHERE acknowledged_ms IS NULL"
OWED = (
    "SELECT (SELECT count(*) FROM outgoing_message WHERE settled_ms IS NULL)"
    " + (SELECT count(*) FROM outbox WHERE msg_id IS NULL)"
)


class Customers(threading.Thread):
    """Send at a steady rate from both banks until stopped; a failed call is repeated under its request id."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(daemon=True)
        self.platform = platform
        self.stopping = threading.Event()
        self.debited = 0

    def run(self) -> None:
        wallets = self.platform.ready["wallets"]
        with httpx2.Client(trust_env=False, timeout=3) as http:
            number = 0
            while not self.stopping.is_set():
                number += 1
                bank = self.platform.bank(("bank-a", "bank-b")[number % 2])
                order = {
                    "request_id": f"kill-{number}",
                    "creditor_msisdn": wallets[number % len(wallets)],
                    "creditor_name": "Wanjiku Kamau",
                    "amount_minor": 10_000 + number,
                    "currency": "KES",
                }
                self._send(http, f"{bank['url']}/customers/{number % 50 + 1}/transfers", order)
                time.sleep(1 / PER_S)

    def _send(self, http: httpx2.Client, url: str, order: dict[str, Any]) -> None:
        for _ in range(20):
            try:
                answer = http.post(url, json=order)
            except httpx2.HTTPError:
                time.sleep(0.2)
                continue
            if answer.status_code == 200:
                self.debited += answer.json()["result"] == "debited"
                return
            time.sleep(0.2)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = Platform(tmp_path_factory.mktemp("kills"), scale=180)
    running.start()
    yield running
    running.stop()


def _pid(platform: Platform, part: str) -> int | None:
    state = platform.folder / "up"
    if part.endswith("-postgres"):
        file = state / part.removesuffix("-postgres") / "pg" / "postmaster.pid"
        try:
            return int(file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
    answer = platform.command("links", "--json")
    pids = json.loads(answer.stdout).get("pids", {}) if answer.returncode == 0 else {}
    pid = pids.get(part) or platform.ready["pids"].get(part)
    return int(pid) if pid else None


def _counted(platform: Platform, statement: str) -> int:
    try:
        return int(platform.rows("gateway", statement)[0][0])
    except psycopg.OperationalError:
        return -1


def test_every_part_is_killed_and_nothing_is_lost(platform: Platform) -> None:
    customers = Customers(platform)
    customers.start()
    time.sleep(2)
    for part in PARTS:
        pid = _pid(platform, part)
        assert pid, f"{part} has no process"
        completed = _counted(platform, "SELECT count(*) FROM transfer WHERE status = 'COMPLETED'")
        os.kill(pid, signal.SIGKILL)
        time.sleep(2.5)
        wait_until(
            lambda before=completed: (
                _counted(platform, "SELECT count(*) FROM transfer WHERE status = 'COMPLETED'") > before
            ),
            within_s=40,
        )
    time.sleep(2)
    customers.stopping.set()
    customers.join(30)
    assert customers.debited > 100
    for statement in (OPEN, UNACKNOWLEDGED, OWED):
        wait_until(lambda asked=statement: _counted(platform, asked) == 0, within_s=90)
    wait_until(lambda: platform.command("verify").returncode == 0, within_s=30, every_s=1)
    verified = platform.command("verify", "--json")
    assert verified.returncode == 0, verified.stdout
