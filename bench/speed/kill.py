"""KILL: the hour of H1 with a hundred kills in it; see `hour`."""

from bench.speed import hour
from bench.speed.context import Bench
from bench.speed.figures import Row


async def measure(bench: Bench) -> list[Row]:
    """One row."""
    kills = hour.KILLS if bench.seconds >= 4 else hour.KILLS_QUICK
    return await hour.measure(bench, "KILL", kills=kills)
