"""Several signals about one component, joined: any strong one opens, weak ones help, and reports never decide.

Three ways lead to an opinion that publishes, each with a third of the false alarms that a component is allowed: real
transfers alone, probes alone, and the fused score, in which transfers count in full and the side signals are capped,
so that one broken vantage or a storm of rumours cannot open an incident. The fused score is for weak faults of slow
corridors: few transfers tell of them, and the tests, which are as many by night as by day, fail as often. A vote (two
of three) would wait for the slowest signal and add up the false alarms of all; this waits for the fastest.

Reports pull the fused alarm forward, name the component they complain about, block an all-clear, and say so when an
operator declares that all is well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hakika.health.judgement import FLOORS, Alarm, Level, Thresholds
from hakika.health.reports import REPORT_CAP

PROBES_CAP = 13.5
FUSED = FLOORS  # the side signals add up to 19.5: less than what is told to a bank
FEW_TOLD, MANY_TOLD = 50.0, 150.0  # attempts: who has seen so many needs no support, and gets none
LASTING_S = 120.0  # of telling transfers, before anybody is told: what a blip does to both is over by then
FUSED_KIND = "fused"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one component at `at_s` (unix seconds).

    `transfers` and `probes` are the standing alarms of their detectors; the scores are those of the moment.
    `transfer_score` is scaled so that 25 publishes (see `scaled`), and rests on `transfers_told` attempts;
    `probe_score` is what all vantages together add to it (see `ProbeQuorum.support`). `green` counts vantages that see
    no failure, of `vantages` that report.
    """

    at_s: float
    transfers: Sequence[Alarm] = ()
    transfer_score: float = 0.0
    transfer_start_s: float | None = None
    transfers_told: float = 0.0
    probes: Sequence[Alarm] = ()
    probe_score: float = 0.0
    green: int = 0
    vantages: int = 0
    report_score: float = 0.0
    reports_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Opinion:
    """The level of one component, since when, by which kinds of evidence, and what stands against an all-clear."""

    level: Level
    start_s: float | None = None
    kinds: tuple[str, ...] = ()
    score: float = 0.0
    against_clear: tuple[str, ...] = field(default=())

    @property
    def may_clear(self) -> bool:
        """No signal of this component speaks against an all-clear (the backlog and promises are for others)."""
        return not self.against_clear


def scaled(strength: float) -> float:
    """A detector's strength (1 where it would publish) as a score in which 25 publishes."""
    return strength * FLOORS.publish


def fused_score(transfer_score: float, probe_score: float, report_score: float) -> float:
    """Transfers in full, probes and reports up to their caps."""
    return transfer_score + min(PROBES_CAP, max(0.0, probe_score)) + min(REPORT_CAP, max(0.0, report_score))


def opinion(evidence: Evidence, thresholds: Thresholds = FUSED) -> Opinion:
    """The joint judgement of one component's signals at one moment."""
    standing = [alarm for alarm in (*evidence.transfers, *evidence.probes) if alarm.level]
    needed = min(1.0, max(0.0, (MANY_TOLD - evidence.transfers_told) / (MANY_TOLD - FEW_TOLD)))
    fused = fused_score(evidence.transfer_score, needed * evidence.probe_score, evidence.report_score)
    by_fusion = Level.QUIET
    if evidence.transfer_start_s is not None:  # a bank's tests and reports do not say which of its corridors is meant
        lasting = evidence.at_s - evidence.transfer_start_s >= LASTING_S
        by_fusion = min(thresholds.level(fused), Level.PUBLISH if lasting else Level.AMBER)
    level = max([by_fusion, *(alarm.level for alarm in standing)])
    if not level:
        return Opinion(Level.QUIET, None, (), fused, _against(evidence, standing))
    kinds = sorted({alarm.kind for alarm in standing if alarm.level is level})
    if by_fusion is level:
        kinds.append(FUSED_KIND)
    starts = [alarm.start_s for alarm in standing if alarm.level is level]
    if not starts:
        starts = [start for start in (evidence.transfer_start_s, evidence.reports_since_s) if start is not None]
    return Opinion(level, min([*starts, evidence.at_s]), tuple(kinds), round(fused, 3), _against(evidence, standing))


def _against(evidence: Evidence, standing: Sequence[Alarm]) -> tuple[str, ...]:
    """What stands against an all-clear, by name."""
    against = {alarm.kind for alarm in standing if alarm.level >= Level.SLOW}
    if evidence.reports_since_s is not None:
        against.add("reports")
    if evidence.vantages and evidence.green * 3 < evidence.vantages * 2:
        against.add("vantages")
    return tuple(sorted(against))


def disputes(found: Opinion) -> bool:
    """The evidence contradicts an operator who says that all is well; reports suffice for that."""
    return found.level >= Level.SLOW or "reports" in found.against_clear
