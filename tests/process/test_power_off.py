"""Power off past the deadline, on again with the core, or the bank, still dead: what was never sent goes back.

The gateway alone is started, on its own database, with nobody to ask. Every transfer that no attempt has ever
carried is RETURNED within a minute; the bank is told once it is there, and the core burns the ids afterwards.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import psycopg
import pytest
from platform_harness import ROOT, Platform, wait_until

from hakika.store.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

SCALE = 720.0  # 4 h are 20 s
HELD = 40
WITHIN_S = 60


def _count(platform: Platform, statement: str) -> int:
    """A count straight from the gateway's database; -1 while it does not answer."""
    try:
        return int(platform.rows("gateway", statement)[0][0])
    except psycopg.OperationalError:
        return -1


RETURNED = "SELECT count(*) FROM payment_return"
ACKNOWLEDGED = "SELECT count(*) FROM payment_return WHERE acknowledged_ms IS NOT NULL"
UNBURNT = "SELECT count(*) FROM payment_return WHERE burn_due"
ATTEMPTS = "SELECT count(*) FROM attempt WHERE outcome IS DISTINCT FROM 'not_sent'"


def send_from_customers(platform: Platform, count: int) -> None:
    """Customers of bank-b send; the bank debits them and delivers to the gateway."""
    url, wallets = platform.bank("bank-b")["url"], platform.ready["wallets"]
    with httpx2.Client(trust_env=False, timeout=10) as http:
        for number in range(count):
            order = {
                "request_id": f"power-{number}-{os.getpid()}",
                "creditor_msisdn": wallets[number % len(wallets)],
                "creditor_name": "Wanjiku Kamau",
                "amount_minor": 50_000 + number,
                "currency": "KES",
            }
            answer = http.post(f"{url}/customers/{number % 50 + 1}/transfers", json=order)
            assert answer.json()["result"] == "debited", answer.text


def test_power_off_past_the_deadline(tmp_path: Path) -> None:
    platform = Platform(tmp_path, scale=SCALE)
    platform.start()
    try:
        assert platform.command("break", "gateway-core").returncode == 0
        time.sleep(4)  # the session has died: nothing fresh is sent any more
        send_from_customers(platform, HELD)
        wait_until(lambda: _count(platform, "SELECT count(*) FROM transfer") == HELD, within_s=20)
        assert _count(platform, ATTEMPTS) == 0
        platform.power_off()
        time.sleep(21)  # past every deadline, with everything off
        returned_by_the_gateway_alone(platform)
        platform.start()  # core and banks are back
        wait_until(lambda: _count(platform, ACKNOWLEDGED) == HELD, within_s=WITHIN_S)
        wait_until(lambda: _count(platform, UNBURNT) == 0, within_s=WITHIN_S)
        verified = platform.command("verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        platform.power_off()


def returned_by_the_gateway_alone(platform: Platform) -> None:
    """Start the gateway's database and the gateway; core, banks and links stay dead."""
    up = platform.folder / "up"
    server = EmbeddedPostgres(up / "gateway" / "pg")
    asyncio.run(server.start())
    command = [sys.executable, "-m", "hakika.cli", "serve", "gateway", "--settings"]
    with (platform.folder / "alone.log").open("wb") as log:
        alone = subprocess.Popen(
            [*command, str(up / "gateway" / "settings.toml")], stdout=log, stderr=subprocess.STDOUT, cwd=ROOT
        )
        try:
            started = time.monotonic()
            wait_until(lambda: _count(platform, RETURNED) == HELD, within_s=WITHIN_S)
            assert time.monotonic() - started < WITHIN_S
            assert _count(platform, ACKNOWLEDGED) == 0  # the bank is dead and has been told nothing
        finally:
            alone.send_signal(signal.SIGTERM)
            alone.wait(20)
            asyncio.run(server.stop())


def test_bank_dead_at_the_return(tmp_path: Path) -> None:
    platform = Platform(tmp_path, scale=SCALE)
    platform.start()
    try:
        assert platform.command("break", "gateway-bank-b", "--how", "refuse").returncode == 0
        assert platform.command("break", "gateway-core").returncode == 0
        time.sleep(4)
        send_from_customers(platform, HELD)
        wait_until(lambda: _count(platform, "SELECT count(*) FROM transfer") == HELD, within_s=20)
        # Its polls would learn of the return as well: the bank is cut off both ways.
        assert platform.command("break", "bank-b-gateway", "--how", "refuse").returncode == 0
        wait_until(lambda: _count(platform, RETURNED) == HELD, within_s=WITHIN_S)
        assert _count(platform, ACKNOWLEDGED) == 0
        assert platform.command("mend", "all").returncode == 0
        wait_until(lambda: _count(platform, ACKNOWLEDGED) == HELD, within_s=WITHIN_S)
        wait_until(lambda: _count(platform, UNBURNT) == 0, within_s=WITHIN_S)
        verified = platform.command("verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        platform.stop()
