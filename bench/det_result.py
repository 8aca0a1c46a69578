"""What the evaluation of detection found, as plain values: kept in `var/bench/det.json`, read by table and page.

A delay is in seconds from the first affected transfer to the moment in which health could know, `inf` for a miss
within the horizon and 0 where a synthetic test was faster than the first customer. Everything that can be counted
again later is kept: each trial with its seed, each false incident with its time.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from bench.det_stats import missed, poisson_interval, quantile

HAKIKA = "Hakika"


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """One fault and when each judge saw it."""

    kind: str
    stratum: str
    platform: int
    seed: int
    cause: str
    delays: dict[str, float]
    from_onset: dict[str, float]
    named: str | None = None  # what Hakika said is broken when it opened
    named_later: str | None = None  # and five minutes after
    right: str | None = None  # exact, wider (what is broken and more) or wrong
    right_later: str | None = None


@dataclass(frozen=True, slots=True)
class HarmlessOutcome:
    """One harmless event and who opened an incident on it."""

    kind: str
    platform: int
    seed: int
    opened: dict[str, bool]


@dataclass(frozen=True, slots=True)
class FalseIncident:
    """A public incident of Hakika in a month in which nothing was broken."""

    platform: int
    at_s: float
    cause: str
    evidence: str


@dataclass(frozen=True, slots=True)
class QuietOutcome:
    """The false public incidents of one platform over so many months."""

    platform: int
    months: float
    false: dict[str, int]
    incidents: list[FalseIncident] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """One run of the evaluation."""

    months: float = 0.0
    trials: list[TrialOutcome] = field(default_factory=list)
    harmless: list[HarmlessOutcome] = field(default_factory=list)
    quiet: list[QuietOutcome] = field(default_factory=list)
    unaffected: int = 0  # trials dropped because no transfer met the fault
    platforms: list[int] = field(default_factory=list)
    judged: str = ""  # which code was judged
    took_s: float = 0.0
    full: bool = False

    def join(self, other: "Result") -> None:
        """Add what another process found."""
        self.months += other.months
        self.trials += other.trials
        self.harmless += other.harmless
        self.quiet += other.quiet
        self.unaffected += other.unaffected
        self.platforms += other.platforms

    def cell(self, kinds: str | Iterable[str], stratum: str | None = None) -> list[TrialOutcome]:
        """The trials of one kind (or several) and one stratum (or all)."""
        wanted = {kinds} if isinstance(kinds, str) else set(kinds)
        return [one for one in self.trials if one.kind in wanted and stratum in (None, one.stratum)]

    def false_rate(self, judge: str) -> tuple[int, float, tuple[float, float]]:
        """False public incidents of a judge: how many, how many a month, and the 95 % interval."""
        count = sum(one.false.get(judge, 0) for one in self.quiet)
        months = sum(one.months for one in self.quiet)
        return count, count / months, poisson_interval(count, months)


@dataclass(frozen=True, slots=True)
class Delay:
    """A cell of the table."""

    median_s: float
    p95_s: float
    missed: float
    count: int


def delay(trials: Sequence[TrialOutcome], judge: str) -> Delay:
    """Median, 95th percentile and share of misses of one judge."""
    delays = [one.delays[judge] for one in trials]
    return Delay(quantile(delays, 0.5), quantile(delays, 0.95), missed(delays), len(delays))


def named_right(trials: Sequence[TrialOutcome], *, later: bool = True, wider: bool = False) -> float | None:
    """Of the faults found, the share whose cause was named exactly, or at least widely; None where none was found."""
    told = [one.right_later if later else one.right for one in trials]
    judged = [right for right in told if right is not None]
    good = ("exact", "wider") if wider else ("exact",)
    return sum(right in good for right in judged) / len(judged) if judged else None


def write(result: Result, path: Path) -> None:
    """Keep the whole result as JSON; a miss is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_finite(asdict(result)), indent=1) + "\n")


def read(path: Path) -> Result:
    """The result of an earlier run."""
    kept = json.loads(path.read_text())
    trials = [TrialOutcome(**_missing(one)) for one in kept.pop("trials")]
    harmless = [HarmlessOutcome(**one) for one in kept.pop("harmless")]
    quiet = []
    for one in kept.pop("quiet"):
        incidents = [FalseIncident(**incident) for incident in one.pop("incidents")]
        quiet.append(QuietOutcome(**one, incidents=incidents))
    return Result(**kept, trials=trials, harmless=harmless, quiet=quiet)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if value == inf else value


def _missing(trial: dict[str, Any]) -> dict[str, Any]:
    for name in ("delays", "from_onset"):
        trial[name] = {judge: inf if value is None else value for judge, value in trial[name].items()}
    return trial
