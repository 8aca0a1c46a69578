"""What is held to be true about every component at one instant: the judge's reading of all evidence, as plain values.

Detectors, fusion and localisation end here and incidents begin here, so that each can be tested without the other:
whoever fills an `Assessment` may be the detectors, a test or a simulated world. A component is `broken` while some
evidence against it is at least strong enough to warn a bank and nothing recent shows it working; a `Found` cause is
what explains broken components together, and is `certain` where it may open an incident by itself. A component that
nobody measures is `unknown`, never well. Instants are wall clock milliseconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hakika.health.incident_events import Condition, Conditions, Met

AVAILABLE, DEGRADED, UNAVAILABLE, UNKNOWN = "available", "degraded", "unavailable", "unknown"
AGGREGATES = ("product:", "role:")  # they gather others: alone they are a cause, beside others an effect


@dataclass(frozen=True, slots=True)
class Figures:
    """The evidence in numbers: transfers of the last minute, what is pending now, probes and reports."""

    ended: int = 0
    failed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    open_count: int = 0
    oldest_ms: int = 0
    green: int = 0
    vantages: int = 0
    reports: int = 0
    silent_s: int = 0  # since when nothing came, 0 where it does not count
    failed_percent: int = 0  # of what ended since it broke, at most in the last minute; rounded down


@dataclass(frozen=True, slots=True)
class Reading:
    """One component: `level` is the detector's (0 quiet to 3 publishes), `kinds` the evidence that reached it."""

    component: str
    state: str = UNKNOWN
    level: int = 0
    broken: bool = False
    start_ms: int | None = None
    well_since_ms: int | None = None  # since when it is known not to be broken
    kinds: tuple[str, ...] = ()
    score: float = 0.0
    conditions: Conditions = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True, slots=True)
class Found:
    """One cause and the components that it explains; `key` is `kind:name`. `roles` carry all of them."""

    key: str
    components: tuple[str, ...]
    start_ms: int
    certain: bool
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """All components at one instant."""

    at_ms: int
    readings: Mapping[str, Reading] = field(default_factory=dict)
    causes: tuple[Found, ...] = ()

    def worst_of(self, components: Iterable[str]) -> str:
        """`unavailable` where one of them is, else `degraded`."""
        states = {self.readings[one].state for one in components if one in self.readings}
        return UNAVAILABLE if UNAVAILABLE in states else DEGRADED

    def broken_among(self, components: Iterable[str]) -> tuple[str, ...]:
        """Those that are broken."""
        return tuple(one for one in components if one in self.readings and self.readings[one].broken)

    def known_among(self, components: Iterable[str]) -> bool:
        """Something is known of one of them."""
        return any(one in self.readings and self.readings[one].state != UNKNOWN for one in components)

    def conditions_of(self, components: Iterable[str]) -> Conditions:
        """The close rule over several components: unmet in one is unmet; what nobody measures is unmeasured."""
        of_each = [self.readings[one].conditions for one in components if one in self.readings]
        return {
            condition.value: _together([one.get(condition, Met.UNMEASURED) for one in of_each])
            for condition in Condition
        }

    def failed_percent(self, components: Iterable[str]) -> int:
        """The largest share of failures among them, in whole per cent."""
        return max((self.readings[one].figures.failed_percent for one in components if one in self.readings), default=0)

    def held(self, components: Iterable[str]) -> int:
        """Transfers pending in corridors whose backlog is more than usual."""
        return sum(
            self.readings[one].figures.open_count
            for one in components
            if one.startswith("corridor:")
            and one in self.readings
            and self.readings[one].conditions.get(Condition.BACKLOG) == Met.UNMET
        )


def proper(components: Iterable[str]) -> frozenset[str]:
    """What tells two causes apart: corridors and channels; aggregates only where there is nothing else."""
    found = frozenset(components)
    return frozenset(one for one in found if not one.startswith(AGGREGATES)) or found


def to_body(assessment: Assessment) -> dict[str, Any]:
    """As plain values for JSON."""
    body: dict[str, Any] = msgspec.to_builtins(assessment)
    return body


def from_body(body: Mapping[str, Any]) -> Assessment:
    """Back from `to_body`."""
    return msgspec.convert(body, Assessment)


def _together(met: list[str]) -> str:
    for word in (Met.UNMET, Met.MET):
        if word in met:
            return word.value
    return Met.UNMEASURED.value
