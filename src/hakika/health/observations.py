"""What health sees: counts of real transfers, results of synthetic tests, reports of customers; plain values.

Everything the detector judges comes as one of these, whether from running roles, from a file or from a simulated
world, so that what is evaluated is what runs. Times are unix seconds of the interval's start, widths in seconds.
An interval that nobody delivered is no `Interval` at all: missing telemetry is evidence and is never filled with
zeros (`Silence` says that a source that should have spoken did not).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

STUCK = "stuck"  # the reason of a soft failure: older than its corridor's p99.9, counted once, when it becomes so


@dataclass(frozen=True, slots=True)
class Interval:
    """What one series saw in one interval.

    `ended` counts outcomes learnt in the interval, customers' own errors (unknown wallet, limits) among them as
    outcomes that say nothing against the platform. `failed` counts technical failures by reason, each of them in
    `ended` too, `STUCK` included. `arrived` counts transfers that customers began: the volume, which falls when a
    channel is silent (in a series from a file any amount, rates among them). `open_count` and `oldest_s` are the
    backlog at the interval's end.
    """

    at_s: float
    width_s: float
    ended: int
    failed: Mapping[str, int] = field(default_factory=dict)
    arrived: float = 0
    open_count: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Silence:
    """A source of intervals (a role) that did not answer when asked at `at_s`."""

    at_s: float
    source: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One synthetic test of one way in, from one vantage; `detail` is a short machine word for the failure."""

    at_s: float
    vantage: str
    probe: str
    ok: bool
    latency_s: float = 0.0
    detail: str = ""

    @property
    def end_s(self) -> float:
        """When its outcome was known."""
        return self.at_s + self.latency_s


@dataclass(frozen=True, slots=True)
class Reports:
    """Distinct persons who said in the interval that a service does not work for them."""

    at_s: float
    width_s: float
    persons: int
