"""Health beside a running platform: what is sent arrives in its database, and money does not notice it."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from platform_harness import Platform, wait_until

from hakika.simulator.control import ask

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

DEAD_S = 20.0
SUMS = """
SELECT coalesce(sum(arrived), 0)::integer, coalesce(sum(ended), 0)::integer, coalesce(sum(own_errors), 0)::integer
FROM signal_interval WHERE series = %s
"""
FAILED = """
SELECT f.key, sum(f.value::integer)::integer FROM signal_interval i, jsonb_each_text(i.failed) f
WHERE i.series = %s GROUP BY 1
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = Platform(tmp_path_factory.mktemp("signals"))
    running.start()
    until_health_answers(running)
    yield running
    running.stop()


def until_health_answers(platform: Platform) -> None:
    """The ready file is written again when health is there."""
    platform.wait_for_health()
    assert httpx2.get(f"{platform.ready['health_url']}/readyz", trust_env=False).status_code == 200


def pay(platform: Platform, request_id: str, msisdn: str, bank: str = "bank-b") -> str:
    order = {
        "request_id": request_id, "creditor_msisdn": msisdn, "creditor_name": "Amina Otieno",
        "amount_minor": 500_00, "currency": "KES",
    }  # fmt: skip
    url = f"{platform.bank(bank)['url']}/customers/7/transfers"
    answer = httpx2.post(url, json=order, trust_env=False, timeout=10).json()
    assert answer["result"] == "debited", answer
    return str(answer["uetr"])


def sums(platform: Platform, series: str) -> tuple[int, int, int]:
    """(arrived, ended, own errors) as health has stored them; nothing while its database is dead."""
    try:
        return platform.rows("health", SUMS, series)[0]
    except psycopg.OperationalError:
        return (-1, -1, -1)


def pids(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = asyncio.run(ask(platform.folder / "up", {"do": "links"}))["pids"]
    return found


def test_what_is_sent_arrives_with_the_right_totals(platform: Platform) -> None:
    before = {series: sums(platform, series) for series in ("corridor:bank-a", "corridor:bank-b")}
    wallets, tests = platform.ready["wallets"], platform.ready["test_wallets"]
    assert len(tests) == 2
    for number in range(12):
        pay(platform, f"a-{number}", wallets[number], "bank-a")
    for number in range(20):
        pay(platform, f"b-{number}", wallets[number])
    for number in range(3):
        pay(platform, f"unknown-{number}", f"25410000099{number}")
    for number in range(6):
        pay(platform, f"test-{number}", tests[number % 2])

    def arrived(series: str, *expected: int) -> bool:
        return sums(platform, series) == tuple(a + b for a, b in zip(before[series], expected, strict=True))

    wait_until(lambda: arrived("corridor:bank-a", 12, 12, 0), within_s=30, every_s=0.5)
    wait_until(lambda: arrived("corridor:bank-b", 23, 23, 3), within_s=30, every_s=0.5)
    assert sums(platform, "product:bank-to-wallet")[:2] == (35, 35)
    assert platform.rows("health", FAILED, "product:bank-to-wallet") == []
    assert sums(platform, "role:core")[:2] == (35, 35)
    stored = platform.rows("gateway", "SELECT count(*) FROM transfer WHERE creditor_msisdn = ANY(%s)", tests)
    assert stored == [(6,)]
    returned = "SELECT count(*) FROM transfer WHERE status = 'RETURNED' AND creditor_msisdn = %s"
    wait_until(lambda: platform.rows("gateway", returned, tests[1]) == [(3,)], within_s=20)


def test_a_killed_role_is_silence_and_then_a_new_life(platform: Platform) -> None:
    lives = "SELECT source, life FROM signal_source ORDER BY source"
    before = dict(platform.rows("health", lives))
    with kept_dead(platform, ("core",), 8.0):
        pass
    wait_until(lambda: platform.rows("health", "SELECT 1 FROM silence WHERE source = 'core'"), within_s=15)
    wait_until(lambda: dict(platform.rows("health", lives))["core"] != before["core"], within_s=20, every_s=0.2)
    after = dict(platform.rows("health", lives))
    assert after["gateway"] == before["gateway"]
    assert platform.rows("health", "SELECT 1 FROM silence WHERE source = 'gateway'") == []


def test_money_moves_the_same_with_health_dead_and_nothing_is_lost_to_it(platform: Platform) -> None:
    before = sums(platform, "corridor:bank-b")
    sent: list[str] = []
    took_s: list[float] = []
    with kept_dead(platform, ("health", "health-postgres"), DEAD_S) as dead:
        number = 0
        while dead.is_set():
            began = time.monotonic()
            sent.append(pay(platform, f"dead-{number}", platform.ready["wallets"][number % 50]))
            took_s.append(time.monotonic() - began)
            number += 1
            time.sleep(0.15)
    assert len(sent) >= 40
    completed = "SELECT count(*) FROM transfer WHERE uetr = ANY(%s::uuid[]) AND status = 'COMPLETED'"
    wait_until(lambda: platform.rows("gateway", completed, sent) == [(len(sent),)], within_s=15)
    assert max(took_s) < 3.0
    wait_until(
        lambda: sums(platform, "corridor:bank-b")[:2] == (before[0] + len(sent), before[1] + len(sent)),
        within_s=45, every_s=0.5,
    )  # fmt: skip
    assert platform.rows("health", FAILED, "corridor:bank-b") == []
    until_health_answers(platform)


def test_the_recount_needs_no_health(platform: Platform) -> None:
    with kept_dead(platform, ("health", "health-postgres"), 4.0):
        verified = platform.command("verify", "--json")
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_what_health_keeps_is_private_and_named_in_the_ready_file(platform: Platform) -> None:
    ready = platform.ready
    assert Path(ready["status_page_folder"]).is_relative_to(ready["state_dir"])
    assert {"health", "health-postgres"} <= ready["pids"].keys()
    for token in ("health-core", "health-gateway", "health-operator", "health-person"):
        assert (Path(ready["state_dir"]) / "keys" / f"{token}.token").stat().st_mode & 0o077 == 0
    for url in (ready["core_url"], ready["gateway_url"]):
        assert httpx2.get(f"{url}/internal/signals", trust_env=False).status_code == 401


class kept_dead:
    """SIGKILL processes whenever they are seen alive, for so long; `set` while it goes on, over at the end."""

    def __init__(self, platform: Platform, names: tuple[str, ...], for_s: float) -> None:
        self._platform = platform
        self._names = names
        self._ends = time.monotonic() + for_s
        self._going_on = threading.Event()
        self._thread = threading.Thread(target=self._kill, daemon=True)

    def __enter__(self) -> threading.Event:
        self._going_on.set()
        self._thread.start()
        return self._going_on

    def __exit__(self, *error: object) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _kill(self) -> None:
        while time.monotonic() < self._ends:
            seen = pids(self._platform)
            for name in self._names:
                if seen.get(name):
                    with suppress(ProcessLookupError):
                        os.kill(seen[name], signal.SIGKILL)
            time.sleep(0.1)
        self._going_on.clear()
