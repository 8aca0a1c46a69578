"""Where the money is, read for anyone who holds the reference; needs the gateway's database alone.

The facts come from one snapshot with the instant at which it was read. When the database cannot be asked, the
caller is told since when we do not know, and says so.
"""

from dataclasses import dataclass

from hakika import clock
from hakika.services.gateway.signals import GatewaySignals
from hakika.store.gateway import lookups
from hakika.store.gateway.lookups import Connection, TrackedRow
from hakika.store.lane import Lanes, StoreFault

READ_DEADLINE_S = 2.0


class NotKnown(Exception):
    """The database does not answer; `since_ms` is when it last did."""

    def __init__(self, since_ms: int) -> None:
        super().__init__(f"not known since {since_ms}")
        self.since_ms = since_ms


@dataclass(frozen=True, slots=True)
class Tracked:
    """A transfer as of `as_of_ms`."""

    row: TrackedRow
    as_of_ms: int


class Tracking:
    """Reads by reference."""

    def __init__(self, lanes: Lanes, signals: GatewaySignals | None = None) -> None:
        self._lanes = lanes
        self._signals = signals or GatewaySignals()
        self._answered_ms = clock.now_ms()

    async def find(self, tracking: bytes) -> Tracked | None:
        """The transfer under 16 bytes of reference; None for none. Raises NotKnown."""

        async def look(conn: Connection) -> tuple[TrackedRow | None, int]:
            # Before the snapshot is taken: the page never claims to be fresher than it is. And after a connection has
            # come free: nor is it called older than it is.
            as_of_ms = clock.now_ms()
            return await lookups.tracked(conn, tracking), as_of_ms

        try:
            row, as_of_ms = await self._lanes.run(look, deadline_s=READ_DEADLINE_S)
        except StoreFault as fault:
            self._signals.page("store_fault")
            raise NotKnown(self._answered_ms) from fault
        self._answered_ms = as_of_ms
        self._signals.page("served" if row else "unknown", row.creditor_msisdn if row else None)
        return Tracked(row, as_of_ms) if row else None
