"""M1: how much memory everything takes while nothing happens, and how long from a cold start to a first transfer.

`hakika up` on an empty folder, as a newcomer runs it: core, gateway, health, three vantages, the supervisor, three
PostgreSQL servers; and two demo banks, which are the outside world and are counted apart. The clock runs from the
command to the moment in which the bank's customer is told that the transfer has arrived. Memory is read after a
minute without transfers, synthetic tests left out (they are transfers).
"""

import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from bench.speed.context import Bench
from bench.speed.figures import Repeat, Row, Target
from bench.speed.memory import owned_bytes, sessions

MEMORY_MAX_MB = 400.0
START_MAX_S = 6.0
IDLE_S = 60.0
STARTS = 3
WITHIN_S = 60.0
STEP_S = 0.02


async def measure(bench: Bench) -> list[Row]:
    """Two rows: megabytes while idle, seconds to the first transfer."""
    folder = (bench.folder / "m1").resolve()
    starts: list[float] = []
    parts: dict[str, float] = {}
    for number in range(1 if bench.seconds < 4 else STARTS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        begun_s = time.monotonic()
        process = await _up(folder)
        try:
            await _first_transfer(folder)
            starts.append(time.monotonic() - begun_s)
            bench.say(f"M1 start {number + 1}: a transfer has arrived {starts[-1]:.1f} s after `hakika up`")
            if number == 0:
                await asyncio.sleep(5.0 if bench.seconds < 4 else IDLE_S)
                parts = _memory(folder)
        finally:
            process.terminate()
            await process.wait()
    shutil.rmtree(folder, ignore_errors=True)
    ours = sum(mb for name, mb in parts.items() if not name.startswith("bank"))
    bench.say(f"M1 idle: {ours:.0f} MB; " + ", ".join(f"{name} {mb:.0f}" for name, mb in sorted(parts.items())))
    return [
        _row("M1", "all roles idle, less is better", "MB", [ours], MEMORY_MAX_MB, dict(parts)),
        _row("M1-start", "start to first transfer", "s", starts, START_MAX_S, {}),
    ]


def _row(id_: str, name: str, unit: str, values: list[float], most: float, extra: dict[str, float | str]) -> Row:
    repeats = tuple(Repeat(value, 1.0, 0.0, 0.0, 0.0) for value in values)
    return Row(id_, name, unit, repeats, True, Target(most=most), extra=extra)


async def _up(folder: Path) -> asyncio.subprocess.Process:
    words = ["-m", "hakika.cli", "up", "--state", str(folder / "up"), "--ready-file", str(folder / "ready.json")]
    log = (folder / "up.log").open("wb")
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, *words, "--probe-every", "0", stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL
        )
    finally:
        log.close()


async def _first_transfer(folder: Path) -> None:
    """Send 500 shillings from the second bank as its customer would, and wait until they have arrived."""
    ready = await _ready(folder / "ready.json")
    bank = ready["banks"][1]
    order = {
        "request_id": "first",
        "creditor_msisdn": ready["wallets"][0],
        "creditor_name": "Wanjiku Kamau",
        "amount_minor": 50_000,
        "currency": "KES",
    }
    async with httpx2.AsyncClient(base_url=bank["url"], trust_env=False) as http:
        sent = await http.post("/customers/1/transfers", json=order)
        sent.raise_for_status()
        uetr = sent.json()["uetr"]
        ends = time.monotonic() + WITHIN_S
        while time.monotonic() < ends:
            told = (await http.get(f"/transfers/{uetr}")).json()
            if told["state"] == "completed":
                return
            await asyncio.sleep(STEP_S)
    raise TimeoutError(f"the first transfer has not arrived {WITHIN_S:g} s after the start")


async def _ready(file: Path) -> dict[str, Any]:
    ends = time.monotonic() + WITHIN_S
    while time.monotonic() < ends:
        ready = _read(file)
        if ready is not None:
            return ready
        await asyncio.sleep(STEP_S)
    raise TimeoutError(f"`hakika up` is not ready after {WITHIN_S:g} s: see {file.parent / 'up.log'}")


def _read(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    ready: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return ready


def _memory(folder: Path) -> dict[str, float]:
    """Megabytes by part."""
    found: dict[str, float] = {}
    for pid, words in sessions(folder).items():
        part = _part(words)
        found[part] = found.get(part, 0.0) + owned_bytes(pid) / 1e6
    return found


def _part(words: str) -> str:
    if "serve bank" in words:
        return "banks (outside)"
    for role in ("core", "gateway", "health", "probe"):
        if f"serve {role}" in words:
            return role
    return "supervisor" if "hakika.cli up" in words else "postgres"
