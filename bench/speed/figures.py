"""What a run found: one row for each kind of work, with its repeats, its peer's figure and its ratio.

Only ratios are compared from run to run: both figures of a ratio were measured within seconds of each other on the
same server. A row keeps every repeat, so that whoever doubts a median can look at the spread.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Repeat:
    """One repeat: work done per second, the peer `P` measured just before, and how long single requests took (ms)."""

    per_s: float
    p: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


@dataclass(frozen=True, slots=True)
class Target:
    """What docs/performance.md promises: at least `ratio` times P, at most `p99_ms`; or a value of at most `most`."""

    ratio: float | None = None
    p99_ms: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work over all its repeats."""

    id: str
    name: str
    unit: str
    repeats: tuple[Repeat, ...]
    books_ok: bool
    target: Target = Target()
    peers: dict[str, float] = field(default_factory=dict)  # per second, in the same run
    extra: dict[str, float | str] = field(default_factory=dict)  # what else is worth knowing

    @property
    def value(self) -> float:
        """Work per second, the median of the repeats."""
        return statistics.median(one.per_s for one in self.repeats)

    @property
    def p(self) -> float:
        """P per second, the median of what was measured before each repeat."""
        return statistics.median(one.p for one in self.repeats)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each repeat over the P just before it."""
        return tuple(one.per_s / one.p for one in self.repeats)

    @property
    def ratio(self) -> float:
        """The median of the ratios, which is not the ratio of the medians."""
        return statistics.median(self.ratios)

    @property
    def p50_ms(self) -> float:
        """Median of the repeats' medians."""
        return statistics.median(one.p50_ms for one in self.repeats)

    @property
    def p99_ms(self) -> float:
        """Median of the repeats' 99th percentiles."""
        return statistics.median(one.p99_ms for one in self.repeats)

    @property
    def p999_ms(self) -> float:
        """Median of the repeats' 99.9th percentiles."""
        return statistics.median(one.p999_ms for one in self.repeats)

    @property
    def met(self) -> bool:
        """Whether every part of the target holds; a row without one is met when its books are right."""
        fast = self.target.ratio is None or self.ratio >= self.target.ratio
        prompt = self.target.p99_ms is None or self.p99_ms <= self.target.p99_ms
        small = self.target.most is None or self.value <= self.target.most
        return self.books_ok and fast and prompt and small

    def as_json(self) -> dict[str, Any]:
        """The row of `var/bench/latest.json`."""
        return {
            "id": self.id,
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "p": self.p,
            "ratio": self.ratio,
            "peers": self.peers,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "p999_ms": self.p999_ms,
            "books_ok": self.books_ok,
            "target": asdict(self.target),
            "met": self.met,
            "repeats": [asdict(one) for one in self.repeats],
            "extra": self.extra,
        }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie (nearest rank); 0 for none."""
    if not ordered:
        return 0.0
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[min(rank, len(ordered)) - 1]


def repeat(count: int, seconds: float, p: float, waits_s: Sequence[float]) -> Repeat:
    """One repeat from what was counted and how long each request took."""
    ordered = sorted(waits_s)
    p50, p99, p999 = (1000 * quantile(ordered, share) for share in (0.5, 0.99, 0.999))
    return Repeat(count / seconds, p, p50, p99, p999)


def keep(rows: Sequence[Row], machine: dict[str, Any], file: Path) -> None:
    """Write the rows, merged over those of an earlier run by id: who measures one thing again keeps the others."""
    kept: dict[str, Any] = {}
    if file.is_file():
        kept = {row["id"]: row for row in json.loads(file.read_text("utf-8"))["rows"]}
    kept |= {row.id: {**row.as_json(), "machine": machine} for row in rows}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"rows": list(kept.values())}, indent=1) + "\n", "utf-8")
