"""H1: an hour at half of G1's rate; see `hour`."""

from bench.speed import hour
from bench.speed.context import Bench
from bench.speed.figures import Row


async def measure(bench: Bench) -> list[Row]:
    """One row."""
    return await hour.measure(bench, "H1")
