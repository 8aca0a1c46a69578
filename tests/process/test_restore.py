"""A restored core posts nothing until the gateway has driven again what it knows; then money flows as before.

The incarnation is raised under a running gateway and the core is restarted, as a restore would do it. Everything the
gateway calls completed is posted again under the same ids, which changes nothing where it is still there.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from platform_harness import Platform, wait_until

from hakika.services.core.incarnation import raise_incarnation

pytestmark = [pytest.mark.process, pytest.mark.timeout(200)]

COMPLETED = "SELECT count(*) FROM transfer WHERE status = 'COMPLETED'"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    running = Platform(tmp_path, scale=60)
    running.start()
    yield running
    running.stop()


def send(platform: Platform, first: int, count: int) -> None:
    """Customers of bank-b send."""
    url, wallets = platform.bank("bank-b")["url"], platform.ready["wallets"]
    with httpx2.Client(trust_env=False, timeout=10) as http:
        for number in range(first, first + count):
            order = {
                "request_id": f"restore-{number}-{os.getpid()}",
                "creditor_msisdn": wallets[number % len(wallets)],
                "creditor_name": "Wanjiku Kamau",
                "amount_minor": 20_000 + number,
                "currency": "KES",
            }
            answer = http.post(f"{url}/customers/{number % 50 + 1}/transfers", json=order)
            assert answer.json()["result"] == "debited", answer.text


def test_a_new_incarnation_is_driven_again_first(platform: Platform) -> None:
    send(platform, 0, 30)
    wait_until(lambda: platform.rows("gateway", COMPLETED)[0][0] == 30, within_s=20)
    owner = (platform.folder / "up" / "keys" / "core.owner.url").read_text().strip()
    asyncio.run(raise_incarnation(owner, "test: restored from a backup"))
    pid = platform.ready["pids"]["core"]
    os.kill(pid, signal.SIGKILL)  # a restore restarts the core
    time.sleep(0.5)
    send(platform, 30, 10)
    wait_until(lambda: platform.rows("gateway", COMPLETED)[0][0] == 40, within_s=40)
    driven = platform.rows("gateway", "SELECT number FROM core_incarnation WHERE redriven_ms IS NOT NULL")
    assert driven == [(2,)]
    with psycopg.connect(platform.ready["databases"]["core"]) as core:
        row = core.execute("SELECT max(number) FROM incarnation WHERE redriven_ms IS NOT NULL").fetchone()
    assert row == (2,)
    verified = wait_until(lambda: platform.command("verify").returncode == 0, within_s=20, every_s=0.5)
    assert verified
