"""What is said of a peer: how many sagas a second were acknowledged, how long each took, whether its books are right.

Only what was both finished and acknowledged within the counted window counts; its latency runs from the moment the
caller asked. A peer whose package or program is not there raises `PeerMissing`, which is no fault: the benchmark
prints the reason in the peer's place. A peer that breaks raises `PeerFailed`.
"""

import json
from array import array
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from bench.det_stats import quantile


class PeerMissing(Exception):
    """The peer cannot be measured here: what is missing, and how it would be got."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class PeerFailed(Exception):
    """The peer was there and did not do its work."""


@dataclass(frozen=True, slots=True)
class PeerFigure:
    """One measurement of one peer; `how` says in a line with what it was run."""

    name: str
    per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    count: int
    books_ok: bool
    how: str


@dataclass(slots=True)
class Tally:
    """What callers saw: all acknowledged sagas, and the latencies in ms of those within the window."""

    acknowledged: int = 0
    latencies_ms: "array[float]" = field(default_factory=lambda: array("d"))


def together(tallies: Iterable[Tally]) -> Tally:
    """The tallies of several callers as one."""
    total = Tally()
    for tally in tallies:
        total.acknowledged += tally.acknowledged
        total.latencies_ms.extend(tally.latencies_ms)
    return total


def figure(name: str, tally: Tally, *, seconds: float, faults: list[str], how: str) -> PeerFigure:
    """The figure of a window of `seconds`. Faults of the books are written into `how`."""
    latencies = tally.latencies_ms
    if not latencies:
        raise PeerFailed(f"{name}: nothing was acknowledged in {seconds:g} s")
    return PeerFigure(
        name=name,
        per_s=len(latencies) / seconds,
        p50_ms=quantile(latencies, 0.5),
        p99_ms=quantile(latencies, 0.99),
        p999_ms=quantile(latencies, 0.999),
        count=len(latencies),
        books_ok=not faults,
        how="; ".join([how, *faults]),
    )


def to_line(made: PeerFigure) -> str:
    """The figure as one line of JSON."""
    return json.dumps(asdict(made))


def from_line(line: str) -> PeerFigure:
    """The figure that `to_line` wrote. Raises PeerFailed for anything else."""
    try:
        return PeerFigure(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise PeerFailed(f"no figure, but {line[:200]!r}") from error
