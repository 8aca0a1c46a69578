"""What can happen to an incident: its events as plain values, and the names under which they are stored.

Rules and people speak here in the same form; who spoke is beside the event (`Recorded.actor`). An event carries all
that its reader needs, so that it is never looked up again: its cause, its components as measured, the conditions of
the close rule as they were. Instants are wall clock milliseconds. What an event does is decided in `incident`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec


class Condition(StrEnum):
    """The parts of the close rule."""

    FAILURES = "failures"  # technical failures under twice the usual for the hold
    OLDEST = "oldest"  # the oldest pending transfer is younger than is usual
    BACKLOG = "backlog"  # no more transfers pending than usual: every one of the outage has ended
    REPORTS = "reports"  # customers' reports are at their usual rate
    PROBES = "probes"  # two of three vantages are green


class Met(StrEnum):
    """What measurement says of a condition."""

    MET = "met"
    UNMET = "unmet"
    UNMEASURED = "unmeasured"  # nothing measures it: it neither closes nor blocks


Conditions = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Opened:
    """A judgement that publishes; `start_ms` is computed backwards, `evidence` is what it rests on."""

    cause: str
    components: tuple[str, ...]
    start_ms: int
    worst: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenedByHand:
    """An operator knows of something that nothing has measured yet."""

    cause: str
    components: tuple[str, ...]
    start_ms: int
    worst: str
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Overran:
    """Announced work is past its end and what it concerned is still broken."""

    window: UUID
    planned_end_ms: int
    cause: str
    components: tuple[str, ...]
    worst: str


@dataclass(frozen=True, slots=True)
class Localised:
    """Where the evidence is and is not names the cause, for the first time or better than before."""

    cause: str
    components: tuple[str, ...]
    start_ms: int


@dataclass(frozen=True, slots=True)
class Grew:
    """More is broken by the same cause; `absorbed` names incidents that were merged into this one."""

    components: tuple[str, ...]
    start_ms: int
    worst: str
    absorbed: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Updated:
    """Something to say: the catalogue's sentence by its key, with its arguments."""

    key: str
    args: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Relapsed:
    """It is back: while recovering, or soon after it was closed."""

    components: tuple[str, ...]
    start_ms: int
    worst: str


@dataclass(frozen=True, slots=True)
class Recovering:
    """It works again, and the close rule is not met yet; `open_percent` is the share that gets through."""

    open_percent: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Which parts of the close rule are met."""

    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Closed:
    """The close rule is met; how many transfers of its corridors ended meanwhile, by their signals."""

    conditions: Conditions
    arrived: int = 0
    returned: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A person has seen it and works on it."""


@dataclass(frozen=True, slots=True)
class OperatorWrote:
    """Words of the operator's own, by language (`en`, `sw`, `fr`)."""

    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OperatorCorrected:
    """Start or scope are other than measured; None leaves what was there."""

    start_ms: int | None = None
    components: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """The same cause as another incident's: this one ends there."""

    into: UUID


@dataclass(frozen=True, slots=True)
class OperatorSaidResolved:
    """The operator's opinion, with what was measured when it was given."""

    conditions: Conditions
    failed_percent: int = 0


Event = (
    Opened
    | OpenedByHand
    | Overran
    | Localised
    | Grew
    | Updated
    | Relapsed
    | Recovering
    | Measured
    | Closed
    | Acknowledged
    | OperatorWrote
    | OperatorCorrected
    | Merged
    | OperatorSaidResolved
)
# The names under which events are stored; never renamed.
KINDS: dict[str, type[Any]] = {
    "opened": Opened,
    "opened_by_hand": OpenedByHand,
    "overran": Overran,
    "localised": Localised,
    "grew": Grew,
    "updated": Updated,
    "relapsed": Relapsed,
    "recovering": Recovering,
    "conditions": Measured,
    "closed": Closed,
    "acknowledged": Acknowledged,
    "words": OperatorWrote,
    "corrected": OperatorCorrected,
    "merged": Merged,
    "said_resolved": OperatorSaidResolved,
}
_NAMES = {kind: name for name, kind in KINDS.items()}
OPENERS = (Opened, OpenedByHand, Overran)


def kind_of(event: Event) -> str:
    """The name under which an event is stored."""
    return _NAMES[type(event)]


def to_body(event: Event) -> dict[str, Any]:
    """As plain values for JSON."""
    body: dict[str, Any] = msgspec.to_builtins(event)
    return body


def from_body(kind: str, body: Mapping[str, Any]) -> Event:
    """Back from `to_body`."""
    event: Event = msgspec.convert(body, KINDS[kind])
    return event
