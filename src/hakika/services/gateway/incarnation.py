"""Begin a new life of the gateway's database after a restore or a lossy failover.

Its log is then a copy of an earlier moment: attempts, returns and whole transfers may be missing. So every transfer
that it holds without an end is marked in the same commit, and every one that a bank sends again is marked when it
comes: all its ids are burnt at the core before it ends either way. Run while no gateway runs on this database.
"""

from hakika import clock
from hakika.store.gateway import restores
from hakika.store.gateway.restores import Connection
from hakika.store.lane import Lane

RAISE_S = 600.0  # a mark on every transfer without an end, however many there are


async def raise_incarnation(owner_url: str, reason: str) -> tuple[int, int]:
    """(number of the new incarnation, transfers marked). Raises StoreFault, or NoAnswer: doing it again is safe."""
    lane = Lane(owner_url, name="gateway incarnation")

    async def work(connection: Connection) -> tuple[int, int]:
        return await restores.raise_number(connection, reason, clock.now_ms())

    try:
        return await lane.run(work, deadline_s=RAISE_S)
    finally:
        await lane.close()
