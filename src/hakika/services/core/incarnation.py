"""Begin a new life of the core's database after a restore or a lossy failover.

From then on the core posts nothing new, until the gateway has sent what it knows as completed and says so.
"""

from hakika import clock
from hakika.store.core import lives
from hakika.store.core.batches import Connection
from hakika.store.lane import Lane

RAISE_S = 10.0


async def raise_incarnation(owner_url: str, reason: str) -> int:
    """The number of the new incarnation. Raises StoreFault, or NoAnswer: then look before doing it again."""
    lane = Lane(owner_url, name="core incarnation")

    async def work(connection: Connection) -> int:
        return await lives.raise_number(connection, reason, clock.now_ms())

    try:
        return await lane.run(work, deadline_s=RAISE_S)
    finally:
        await lane.close()
