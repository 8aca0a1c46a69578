"""A restored core is driven again first; a restored gateway ends nothing twice, whatever its copy does not know.

The core's incarnation is raised under a running gateway and the core is restarted: everything the gateway calls
completed is posted again under the same ids. The gateway's database folder is really put back to a copy, after more
was completed, returned, left in doubt and held that the copy knows nothing of; banks and core remember.
"""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx2
import psycopg
import pytest
from platform_harness import Platform, wait_until

from hakika.domain.transfer import ATTEMPTS_MAX
from hakika.ids import attempt_id
from hakika.services.core.incarnation import raise_incarnation
from hakika.store.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SCALE = 720.0  # 4 h are 20 s
POSTED = "SELECT replace(id::text, '-', '') FROM entry WHERE member = 0 AND kind = 'posted' AND refusal IS NULL"
ORDER = {"creditor_name": "Wanjiku Kamau", "amount_minor": 20_000, "currency": "KES"}
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
                **ORDER,
                "request_id": f"restore-{number}-{os.getpid()}",
                "creditor_msisdn": wallets[number % len(wallets)],
                "amount_minor": 20_000 + number,
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


# --- the gateway ---------------------------------------------------------------------------------------------


def booked(platform: Platform) -> dict[str, tuple[str, str]]:
    """Of every transfer of bank-b: its UETR, with its customer's request and its state in the bank's books."""
    books = sqlite3.connect(platform.folder / "up" / "bank-b" / "books.sqlite", timeout=10)
    try:
        return {uetr: (request, state) for uetr, request, state in books.execute(
            "SELECT uetr, request_id, state FROM transfer")}  # fmt: skip
    finally:
        books.close()


def states(platform: Platform, first: int, count: int) -> list[str]:
    """The states of these requests, in the bank's books."""
    wanted = {f"restore-{number}-{os.getpid()}" for number in range(first, first + count)}
    return [state for request, state in booked(platform).values() if request in wanted]


def known(platform: Platform) -> int:
    found: int = platform.rows("gateway", "SELECT count(*) FROM transfer")[0][0]
    return found


def a_life_that_will_be_lost(platform: Platform) -> None:
    """What is held in the copy moves on; and much happens that the copy will know nothing of."""
    send(platform, 100, 20)
    wait_until(lambda: states(platform, 100, 20) == ["completed"] * 20, within_s=20)
    assert platform.command("break", "gateway-core").returncode == 0
    time.sleep(4)  # the session has died: nothing fresh is sent any more
    send(platform, 200, 15)
    wait_until(lambda: states(platform, 200, 15) == ["returned"] * 15, within_s=40)
    acknowledged = "SELECT count(*) FROM payment_return WHERE acknowledged_ms IS NULL"
    wait_until(lambda: platform.rows("gateway", acknowledged)[0][0] == 0, within_s=20)
    assert platform.command("mend", "gateway-core").returncode == 0
    send(platform, 300, 1)
    wait_until(lambda: states(platform, 300, 1) == ["completed"], within_s=20)
    assert platform.command("break", "gateway-core", "--how", "deaf").returncode == 0
    before = len(posted(platform))
    send(platform, 400, 8)  # credited, and nobody hears of it
    wait_until(lambda: len(posted(platform)) > before, within_s=10)
    in_doubt = "SELECT count(*) FROM attempt WHERE outcome IS NULL"
    wait_until(lambda: platform.rows("gateway", in_doubt)[0][0] > 0, within_s=10)
    time.sleep(3)
    send(platform, 500, 8)  # held, never attempted
    wait_until(lambda: states(platform, 500, 8) == ["accepted"] * 8, within_s=5)


def posted(platform: Platform) -> set[str]:
    with psycopg.connect(platform.ready["databases"]["core"], connect_timeout=5) as core:
        return {row[0] for row in core.execute(POSTED)}


def put_back(platform: Platform, copy: Path) -> None:
    """The copy takes the place of the folder, and the restore is declared by the command."""
    up = platform.folder / "up"
    shutil.rmtree(up / "gateway" / "pg")
    shutil.copytree(copy, up / "gateway" / "pg", symlinks=True)
    server = EmbeddedPostgres(up / "gateway" / "pg")
    asyncio.run(server.start())
    try:
        owner = (up / "keys" / "gateway.owner.url").read_text().strip()
        command = [sys.executable, "-m", "hakika.cli", "incarnation", "raise", "gateway", "--url", owner]
        done = subprocess.run([*command, "--reason", "test: put back"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "gateway is in incarnation 2" in done.stdout
    finally:
        asyncio.run(server.stop())


def test_a_gateway_put_back_to_a_copy_ends_nothing_twice(tmp_path: Path) -> None:
    """I-GW-10: each transfer in its bank's books ends exactly once, as core and bank remember it; `verify` is clean."""
    platform = Platform(tmp_path, scale=SCALE)
    platform.start()
    try:
        send(platform, 0, 10)
        wait_until(lambda: states(platform, 0, 10) == ["completed"] * 10, within_s=20)
        assert platform.command("break", "gateway-core").returncode == 0
        time.sleep(4)
        send(platform, 50, 10)
        wait_until(lambda: known(platform) == 20, within_s=10)
        platform.stop()
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "up" / "gateway" / "pg", copy, symlinks=True)
        platform.start()
        a_life_that_will_be_lost(platform)
        remembered = booked(platform)
        platform.power_off()
        put_back(platform, copy)
        platform.start()
        assert known(platform) < len(remembered)
        wait_until(lambda: {s for _, s in booked(platform).values()} <= {"completed", "returned"}, within_s=60)
        wait_until(lambda: platform.command("verify", "--settled").returncode == 0, within_s=60, every_s=1)
        ended_once(platform, remembered)
        send(platform, 600, 5)  # within a bank's clock of the raise it might be older: it comes back
        wait_until(lambda: states(platform, 600, 5) == ["returned"] * 5, within_s=20)
        wait_until(lambda: platform.command("verify", "--settled").returncode == 0, within_s=20, every_s=1)
        with httpx2.Client(trust_env=False, timeout=10) as http:
            order = {**ORDER, "request_id": "asks-first", "creditor_msisdn": platform.ready["wallets"][0]}
            asked = http.post(f"{platform.bank('bank-a')['url']}/customers/1/transfers", json=order).json()
        assert (asked["result"], asked["advice"]) == ("not_debited", "HOLD")
        counts = json.loads(platform.command("verify", "--json").stdout)["counts"]
        assert counts["ends_forgotten_in_restore"] >= 20
    finally:
        platform.power_off()


def ended_once(platform: Platform, remembered: dict[str, tuple[str, str]]) -> None:
    """What had ended stays so; what had not has ended as the core says; nobody was credited under two ids."""
    credited, now = posted(platform), booked(platform)
    for uetr, (request, before) in remembered.items():
        state = now[uetr][1]
        if before in ("completed", "returned"):
            assert state == before, request
        ids = {attempt_id("bank-b", UUID(uetr), number).hex for number in range(1, ATTEMPTS_MAX + 1)}
        assert len(ids & credited) == (state == "completed"), (request, state)
    assert set(states(platform, 500, 8)) == {"returned"}
    assert "completed" in states(platform, 400, 8)
    reasons = dict(platform.rows("gateway", "SELECT reason, count(*) FROM payment_return GROUP BY 1"))
    assert reasons["gateway_restored"] >= 8
