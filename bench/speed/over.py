"""OVER: twice what the platform can do, for a minute, then half of it.

What it can do is measured first, as G1 is. Work that was taken has to end, each transfer once, as fast as G1 promises;
the rest is refused at once. Memory is looked at every second, and so is how soon all is fast again afterwards.
"""

import asyncio
import dataclasses
from typing import Any

from bench.speed import g1
from bench.speed.context import P_S, Bench
from bench.speed.figures import Row, Target, repeat
from bench.speed.loader import Loader
from bench.speed.memory import watched
from bench.speed.platform import Platform
from hakika.domain.breaker import CALM_S

OVERLOAD_S, CALM_AGAIN_S = 60.0, 15.0
TIMES, AFTERWARDS = 2.0, 0.5
CONNECTIONS = 1_024
MIB = 1024 * 1024
TARGET = Target(p99_ms=g1.TARGET.p99_ms)


async def measure(bench: Bench) -> list[Row]:
    """One row; its waits are those of what was taken during the overload."""
    platform = await Platform.start(bench, "OVER")
    try:
        p = await bench.pgbench.measure(P_S)
        can = await capacity(bench, platform)
        overload_s = OVERLOAD_S if bench.seconds >= 4 else 6.0
        phases = [(TIMES * can, overload_s), (AFTERWARDS * can, CALM_AGAIN_S)]
        bench.say(f"OVER: it can do {can:,.0f}/s; {TIMES * can:,.0f}/s for {overload_s:g} s are being written ...")
        settings = platform.load(messages=0, per_message=1, in_flight=0, seconds=0.0, seed=77)
        settings |= {"phases": phases, "connections": CONNECTIONS}
        async with Loader("overload", settings, bench.folder) as loader:
            await bench.server.settle()
            watching = asyncio.create_task(watched(platform.roles.pids, 1.0))
            outcome, waits = await loader.go()
            watching.cancel()
            memory = await watching
        platform.completed += int(outcome["answered"])
        ok, words = platform.books()
    finally:
        await platform.stop()
    all_answered = outcome["accepted"] == outcome["answered"]
    extra = {**_told(outcome, memory, overload_s), "can_per_s": round(can)}
    bench.say(f"  books {'right' if ok else 'WRONG'}: {words}")
    bench.say("  " + ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in extra.items()))
    row = Row(
        "OVER",
        f"{TIMES:g} times what it can do, {overload_s:g} s",
        "transfers/s",
        (repeat(int(outcome["count"]), outcome["seconds"], p, waits),),
        ok and all_answered,
        TARGET,
    )
    return [dataclasses.replace(row, extra=extra)]


async def capacity(bench: Bench, platform: Platform) -> float:
    """Transfers a second with as many under way as G1 has, after the send window has opened."""
    per_s = 0.0
    for number, seconds in enumerate((CALM_S + 5 if bench.seconds >= 4 else 4.0, max(4.0, bench.seconds))):
        settings = platform.load(
            messages=int(g1.PER_S_MAX * seconds), per_message=1, in_flight=g1.IN_FLIGHT, seconds=seconds, seed=number
        )
        async with Loader("transfers", settings, bench.folder) as loader:
            outcome, _ = await loader.go()
        platform.completed += int(outcome["answered"])
        per_s = outcome["count"] / outcome["seconds"]
    return per_s


def _told(outcome: dict[str, Any], memory: list[int], overload_s: float) -> dict[str, float | str]:
    """What the row tells beside its rate and waits; `recovered_s`: for how long afterwards p99 was over its target."""
    over, after = outcome["phases"]
    limit = TARGET.p99_ms or 0.0
    late = [second for second, p99 in enumerate(outcome["p99_ms"]) if p99 is not None and p99 > limit]
    recovered_s = max([second + 1 - int(overload_s) for second in late if second >= overload_s], default=0)
    middle = memory[len(memory) // 5 : int(overload_s)] or memory
    return {
        "taken": over["accepted"],
        "refused": over["refused"],
        "left_out": over["skipped"] + after["skipped"],
        "refused_afterwards": after["refused"],
        "unanswered": outcome["accepted"] - outcome["answered"],
        "recovered_s": recovered_s,
        "memory_start_mb": round(memory[0] / MIB),
        "memory_fifth_mb": round(middle[0] / MIB),
        "memory_most_mb": round(max(memory) / MIB),
        "load_generator_cores": round(outcome["cpu_share"], 2),
    }
