"""Between rows and incidents: folds what is stored, and makes the rows of what is decided. Decides nothing itself."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from hakika.health.deciding import Act, Window
from hakika.health.incident import Incident, Recorded, fold
from hakika.health.incident_events import from_body, kind_of, to_body
from hakika.store.health.incidents import EventRow, WindowRow

Connection = AsyncConnection[Any]


def incidents_of(rows: Iterable[EventRow]) -> list[Incident]:
    """Incidents from their events, which stand together and in order."""
    return [
        fold(id_, tuple(_recorded(row) for row in of_one))
        for id_, of_one in groupby(rows, key=lambda row: row.incident)
    ]


def windows_of(rows: Iterable[WindowRow]) -> list[Window]:
    """Announced work that stands."""
    return [Window(row.id, row.from_ms, row.to_ms, tuple(row.components)) for row in rows if row.cancelled_ms is None]


def row_of(act: Act, *, form: UUID | None = None) -> EventRow:
    """The row of a decided event; `form` is the one that an operator sent."""
    recorded = act.recorded
    body = to_body(recorded.event)
    return EventRow(act.incident, recorded.number, recorded.at_ms, recorded.actor, kind_of(recorded.event), body, form)


def _recorded(row: EventRow) -> Recorded:
    return Recorded(row.number, row.at_ms, row.actor, from_body(row.kind, row.body))
