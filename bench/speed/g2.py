"""G2: as G1, with 100 transfers a message."""

from bench.speed.context import Bench
from bench.speed.figures import Row, Target
from bench.speed.g1 import transfers

PER_MESSAGE = 100
IN_FLIGHT = 4_000
PER_S_MAX = 15_000


async def measure(bench: Bench) -> list[Row]:
    """One row."""
    name = f"bank to wallet, {PER_MESSAGE} a message, {IN_FLIGHT:,} under way"
    return [await transfers(bench, "G2", name, PER_MESSAGE, IN_FLIGHT, PER_S_MAX, Target(ratio=1.5))]
