"""H1 and KILL: an hour at half of what G1 does here, and the same with a process killed every 36 seconds.

What it can do is measured first. H1: the last sixth of the hour is to be as fast as the first, and memory flat. KILL: a
hundred SIGKILLs of core, gateway or PostgreSQL, drawn by a seed; the books have to be right, and the rate back within
five seconds of each. `--quick` makes it a minute and three kills, to see that it works.
"""

import asyncio
import dataclasses
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.speed.context import P_S, Bench
from bench.speed.figures import Row, Target, repeat
from bench.speed.loader import Loader
from bench.speed.memory import watched
from bench.speed.over import capacity
from bench.speed.platform import Platform, gateway_names
from hakika import clock

HOUR_S, QUICK_S = 3_600.0, 60.0
KILLS, KILLS_QUICK, KILLS_FROM_S = 100, 3, 10.0
VICTIMS = ("core", "gateway", "postgres")
PART = 0.5  # of what it can do
CONNECTIONS = 128
WATCH_S = 10.0
BACK_S = 5  # seconds within which the rate has to be back
BACK_SHARE = 0.9
SOON = {"checkpoint_timeout": "30s"}  # of KILL, as the embedded server has it: little to replay after a crash
MIB = 1024 * 1024
SEED = 20230727


async def measure(bench: Bench, id_: str, *, kills: int = 0) -> list[Row]:
    """One row; the curve of the hour goes beside the rows, for its picture."""
    seconds = HOUR_S if bench.seconds >= 4 else QUICK_S
    if kills:
        await bench.server.restart(**SOON)
    platform = await Platform.start(bench, id_)
    supervising = asyncio.create_task(bench.server.postgres.supervise())
    try:
        p = await bench.pgbench.measure(P_S)
        can = await capacity(bench, platform)
        bench.say(f"{id_}: it can do {can:,.0f}/s; {PART * can:,.0f}/s for {seconds:,.0f} s ...")
        settings = platform.load(messages=0, per_message=1, in_flight=0, seconds=seconds, seed=SEED)
        settings |= {"per_s": PART * can, "connections": CONNECTIONS}
        async with Loader("hour", settings, bench.folder) as loader:
            await bench.server.settle()
            watching = asyncio.create_task(watched(platform.roles.pids, WATCH_S))
            killing = asyncio.create_task(_kill(bench, platform, kills, seconds))
            outcome, waits = await loader.go()
            watching.cancel()
            killing.cancel()
            memory, killed = await watching, await killing
        platform.completed += int(outcome["answered"])
        ok, words = platform.books()
    finally:
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)
        await platform.stop()
        if kills:
            await bench.server.restart()
    extra = _told(outcome, memory, killed, PART * can)
    bench.say(f"  books {'right' if ok else 'WRONG'}: {words}")
    bench.say("  " + ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in extra.items()))
    _keep_curve(bench.folder / f"{id_.lower()}.json", outcome["by_second"], memory, killed)
    all_ended = outcome["accepted"] == outcome["answered"] and not outcome["odd"]
    name = f"{seconds / 60:.0f} min at half of what it can do" + (f", {len(killed)} kills" if kills else "")
    one = repeat(int(outcome["count"]), outcome["seconds"], p, waits)
    row = Row(id_, name, "transfers/s", (one,), ok and all_ended, Target())
    return [dataclasses.replace(row, extra={**extra, "can_per_s": round(can)})]


async def _kill(bench: Bench, platform: Platform, kills: int, seconds: float) -> list[tuple[float, str]]:
    """Kill evenly, whom is drawn; when and whom, until cancelled."""
    chance, begun, killed = clock.seeded(SEED), clock.monotonic_s(), list[tuple[float, str]]()
    try:
        for number in range(kills):
            at_s = KILLS_FROM_S + number * (seconds - 2 * KILLS_FROM_S) / kills
            await asyncio.sleep(max(0.0, begun + at_s - clock.monotonic_s()))
            victim = chance.choice(VICTIMS)
            killed.append((clock.monotonic_s() - begun, victim))
            pid = bench.server.postgres.pid
            if victim != "postgres":
                named = chance.choice(gateway_names(bench.gateways)) if victim == "gateway" else victim
                platform.roles.children[named].kill()
            elif pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # the postmaster: its backends follow it
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
    return killed


def _told(
    outcome: dict[str, Any], memory: Sequence[int], killed: Sequence[tuple[float, str]], per_s: float
) -> dict[str, float | str]:
    by_second = outcome["by_second"]
    sixth = max(1, len(by_second) // 6)
    first, last = sum(by_second[:sixth]) / sixth, sum(by_second[-sixth:]) / sixth
    back = [back_s(by_second, at_s, per_s) for at_s, _ in killed]
    told: dict[str, float | str] = {
        "first_sixth_per_s": round(first),
        "last_sixth_per_s": round(last),
        "last_to_first": round(last / first, 3) if first else 0.0,
        "unanswered": outcome["accepted"] - outcome["answered"],
        "left_out": outcome["left_out"],
        "sent_again": outcome["again"],
        "memory_sixth_mb": round(memory[len(memory) // 6] / MIB),
        "memory_last_mb": round(memory[-1] / MIB),
        "memory_most_mb": round(max(memory) / MIB),
    }
    if killed:
        told |= {
            "kills": len(killed),
            "back_s_most": max(back),
            "back_late": sum(one > BACK_S for one in back),
            **{f"kills_{name}": sum(victim == name for _, victim in killed) for name in VICTIMS},
        }
    return told


def back_s(by_second: Sequence[int], at_s: float, per_s: float) -> int:
    """Seconds after a kill until a second has nearly the rate of the five before it; all that is left if none has.

    What was made up for in those five counts as no more than `per_s`, the rate that is asked for.
    """
    at = int(at_s)
    before = by_second[max(0, at - 5) : at]
    usual = min(per_s, sum(before) / len(before)) if before else 0.0
    for second in range(at + 1, len(by_second)):
        if by_second[second] >= BACK_SHARE * usual:
            return second - at
    return len(by_second) - at


def _keep_curve(
    file: Path, by_second: Sequence[int], memory: Sequence[int], killed: Sequence[tuple[float, str]]
) -> None:
    """The course of it, by second and by WATCH_S."""
    curve = {"by_second": list(by_second), "memory_bytes": list(memory), "watch_s": WATCH_S, "killed": list(killed)}
    file.write_text(json.dumps(curve) + "\n", "utf-8")
