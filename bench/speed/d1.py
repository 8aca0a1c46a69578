"""D1: the drain. Transfers held while the core was down, with live traffic of 500 a second from the first moment on.

1,000,000 are held with `--full`, 100,000 otherwise: the send window is narrow for the first seconds, which a small
backlog would show and little else. The drain is measured from the start of the core to the last final status of the
backlog; the wait of a live transfer from its first byte to its final status. It is one repeat: P is measured before the
backlog goes in.
"""

import dataclasses

from bench.speed.context import P_S, Bench
from bench.speed.figures import Row, Target, repeat
from bench.speed.loader import Loader
from bench.speed.platform import Platform

HELD, HELD_FULL, HELD_QUICK = 100_000, 1_000_000, 4_000
LIVE_PER_S = 500.0
TARGET = Target(ratio=1.0, p99_ms=1000.0)


async def measure(bench: Bench) -> list[Row]:
    """One row; its waits are those of live transfers."""
    held = HELD_FULL if bench.full else HELD if bench.seconds >= 4 else HELD_QUICK
    platform = await Platform.start(bench, "D1")
    try:
        await bench.server.settle()
        p = await bench.pgbench.measure(P_S)
        core = platform.roles.children["core"]
        core.hold()
        core.kill()
        settings = platform.load(messages=0, per_message=1, in_flight=128, seconds=0.0, seed=1)
        bench.say(f"D1: {held:,} transfers go into custody while the core is down ...")
        settings |= {"held": held, "live_per_s": LIVE_PER_S}
        async with Loader("drain", settings, bench.folder) as loader:
            await bench.server.settle()
            core.let_go()
            meter = platform.meter()
            outcome, waits = await loader.go()
        platform.completed = int(outcome["answered"])
        cost = {**meter.per_unit_ms(outcome["answered"]), "load": loader.cost_ms(outcome)}
        ok, words = platform.books()
    finally:
        await platform.stop()
    one = repeat(int(outcome["count"]), outcome["seconds"], p, waits)
    live = len(waits) / outcome["seconds"]
    bench.say(f"  {one.per_s:,.0f}/s drained beside {live:,.0f}/s live; books {'right' if ok else 'WRONG'}: {words}")
    extra: dict[str, float | str] = {f"cpu_ms_{part}": ms for part, ms in cost.items()}
    row = Row("D1", f"drain of {held:,} held, 500/s live", "transfers/s", (one,), ok, TARGET)
    return [dataclasses.replace(row, extra={**extra, "live_per_s": live})]
