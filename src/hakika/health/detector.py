"""One series (a corridor, a channel, a product) and everything that its own numbers can say about it.

A series is judged by several sums at once, each blind where another sees: technical failures by reason and all
together, transfers that are stuck (a reason like any other, known before the failure is), volume against the series'
own profile (a dead gateway produces no failures, only silence), and the source that should have spoken and did not.
Each kind has its own alarm and its own end; joining kinds and series is for `fusion` and `localise`. A detector is
fitted on quiet data, works from defaults without any, learns only from intervals judged quiet, and its whole state is
plain values, so that a judge who is killed in an incident wakes up in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hakika.health.failures import RATES_AT, RHO_DEFAULT, FailureModel, FailureWatch
from hakika.health.fitting import TRUST_S, fit_failures, untaught
from hakika.health.fitting_volume import fit_volume
from hakika.health.judgement import SHARE_PER_S, Alarm, Level, floors_at
from hakika.health.observations import STUCK, Interval, Silence
from hakika.health.volume import VolumeModel, VolumeWatch

ALL = "failures"  # the kind of all technical failures together; one reason is `failures:<reason>`
SILENCE = "silence"
STUCK_USUAL = 0.001  # by definition: older than the corridor's p99.9
REASON_USUAL = 0.002  # of a reason that was never seen
SILENT_USUAL = 0.001
KINDS_BESIDE = 3  # all failures together, volume, silence
REASONS_MAX = 32  # of one series; further ones still count in the sum of all


def kind_of(reason: str) -> str:
    """The kind of an alarm about one reason; the empty one stands for all together."""
    return f"{ALL}:{reason}" if reason else ALL


@dataclass(frozen=True, slots=True)
class SeriesModel:
    """What was learnt of one series; `volume` is None where volume says nothing (it is not watched).

    `everyday` series tolerate what happens on any day somewhere on a platform: blips of a minute, and a holiday.
    """

    name: str
    width_s: float
    all_failures: FailureModel = field(default_factory=FailureModel)
    reasons: Mapping[str, FailureModel] = field(default_factory=dict)
    volume: VolumeModel | None = None
    silence: FailureModel = field(default_factory=lambda: FailureModel(usual=SILENT_USUAL))
    everyday: bool = True

    @classmethod
    def unknown(cls, name: str, width_s: float, *, everyday: bool = True) -> "SeriesModel":
        """The defaults for a series that has no quiet data yet."""
        floors = floors_at(width_s)
        return cls(
            name,
            width_s,
            untaught(RATES_AT, RHO_DEFAULT, width_s, floors, blips=everyday),
            {STUCK: untaught(STUCK_USUAL, RHO_DEFAULT, width_s, floors, blips=everyday)},
            VolumeModel(width_s, drop=floors, everyday=everyday),
            FailureModel(usual=SILENT_USUAL, thresholds=floors),
            everyday,
        )

    @classmethod
    def fit(
        cls,
        name: str,
        quiet: Sequence[Interval],
        width_s: float,
        *,
        share_per_s: float = SHARE_PER_S,
        trust_s: float = TRUST_S,
        everyday: bool = True,
    ) -> "SeriesModel":
        """Learn a series from its quiet intervals of `width_s` seconds, in the order of time.

        `share_per_s` is how many false alarms a second the series may raise, which its kinds of failures share;
        `trust_s` how long quiet data must be before what it has not shown is taken not to happen.
        """
        floors = floors_at(width_s, share_per_s)
        reasons = sorted({reason for interval in quiet for reason in interval.failed} | {STUCK})[:REASONS_MAX]
        each_per_s = share_per_s / (len(reasons) + KINDS_BESIDE)
        of_reason = fit_failures(
            {reason: [(one.ended, one.failed.get(reason, 0)) for one in quiet] for reason in reasons},
            width_s,
            floors,
            priors={reason: STUCK_USUAL if reason == STUCK else REASON_USUAL for reason in reasons},
            share_per_s=each_per_s,
            trust_s=trust_s,
            blips=everyday,
        )
        of_all = fit_failures(
            {"": [(one.ended, sum(one.failed.values())) for one in quiet]},
            width_s,
            floors,
            priors={"": RATES_AT},
            share_per_s=each_per_s,
            trust_s=trust_s,
            blips=everyday,
        )
        volume = fit_volume(
            [(interval.at_s, interval.arrived) for interval in quiet],
            width_s,
            share_per_s=each_per_s if everyday else share_per_s,
            everyday=everyday,
        )
        return cls(
            name,
            width_s,
            of_all[""],
            of_reason,
            volume,
            FailureModel(usual=SILENT_USUAL, thresholds=floors),
            everyday,
        )

    def to_state(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "name": self.name,
            "width_s": self.width_s,
            "all": self.all_failures.to_state(),
            "reasons": {reason: model.to_state() for reason, model in self.reasons.items()},
            "volume": None if self.volume is None else self.volume.to_state(),
            "silence": self.silence.to_state(),
            "everyday": self.everyday,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "SeriesModel":
        """Back from `to_state`."""
        return cls(
            state["name"],
            state["width_s"],
            FailureModel.from_state(state["all"]),
            {reason: FailureModel.from_state(model) for reason, model in state["reasons"].items()},
            None if state["volume"] is None else VolumeModel.from_state(state["volume"]),
            FailureModel.from_state(state["silence"]),
            state.get("everyday", True),
        )


class SeriesDetector:
    """Judges one series, an observation at a time, in the order of time."""

    __slots__ = ("_attempts", "_awake", "_counted", "_reasons", "_silence", "_volume", "model", "seen_until_s")

    def __init__(self, model: SeriesModel) -> None:
        self.model = model
        self.seen_until_s = float("-inf")
        self._reasons = {"": FailureWatch(model.all_failures)}
        self._reasons.update((reason, FailureWatch(one)) for reason, one in model.reasons.items())
        self._awake: set[str] = set()  # reasons whose sums are not all zero; "" is all reasons together
        self._attempts = 0.0
        self._counted: dict[str, float] = {}  # how many of the attempts each reason has learnt from
        self._volume = VolumeWatch(model.volume) if model.volume is not None else None
        self._silence = FailureWatch(model.silence)

    def step(self, seen: Interval | Silence) -> tuple[Alarm, ...]:
        """What the observation changes; an observation that is not newer than the last one changes nothing."""
        if isinstance(seen, Silence):
            return self._silent(seen.at_s)
        at_s, width_s = seen.at_s, seen.width_s
        if at_s + width_s <= self.seen_until_s:
            return ()
        self.seen_until_s = end_s = at_s + width_s
        changes: list[tuple[str, Level, float, float]] = []
        if seen.failed or self._awake:
            self._weigh(seen, changes)
        self._attempts += seen.ended
        if self._volume is not None:
            changes.extend(self._volume.step(at_s, seen.arrived, width_s / self.model.width_s))
        if not self._silence.asleep:
            change = self._silence.step(at_s, width_s, 1, 0)
            if change is not None:
                changes.append((SILENCE, *change))
        if not changes:
            return ()
        return tuple(self._alarm(kind, level, end_s, start_s, score) for kind, level, start_s, score in changes)

    def standing(self) -> tuple[Alarm, ...]:
        """The alarms that are open, each with its score of the moment."""
        open_watches = [(kind_of(reason), watch) for reason, watch in self._reasons.items()]
        open_watches.append((SILENCE, self._silence))
        alarms = [
            self._alarm(kind, watch.level, self.seen_until_s, watch.start_s, watch.score)
            for kind, watch in open_watches
            if watch.level
        ]
        if self._volume is not None:
            alarms += [
                self._alarm(side.kind, side.level, self.seen_until_s, side.start_s, side.score)
                for side in self._volume.sides
                if side.level
            ]
        return tuple(alarms)

    def strength(self) -> float:
        """The strongest evidence of the moment, 1 where it would publish; for fusion, which may add to it."""
        strengths = [strength for strength, _ in self._strengths()]
        if self._volume is not None:
            strengths += [side.score / side.thresholds.publish for side in self._volume.sides]
        return max(strengths)

    def told(self) -> float:
        """How many attempts the strongest evidence of failures rests on."""
        return max(self._strengths())[1]

    def _strengths(self) -> list[tuple[float, float]]:
        watches = (self._silence, *self._reasons.values())
        return [(watch.score / watch.model.thresholds.publish, watch.told) for watch in watches]

    def _silent(self, at_s: float) -> tuple[Alarm, ...]:
        end_s = at_s + self.model.width_s
        if end_s <= self.seen_until_s:
            return ()
        self.seen_until_s = end_s
        change = self._silence.step(at_s, self.model.width_s, 1, 1)
        if change is None:
            return ()
        level, start_s, score = change
        return (self._alarm(SILENCE, level, end_s, start_s, score),)

    def _weigh(self, seen: Interval, changes: list[tuple[str, Level, float, float]]) -> None:
        """Judge the failures of all reasons together and of each that failed now or is still awake."""
        failed, attempts = seen.failed, seen.ended
        if failed:
            self._meet(failed)
            self._awake.update(failed)
            self._awake.add("")
        still = set()
        for reason in sorted(self._awake):
            watch = self._reasons.get(reason)
            if watch is None:
                continue
            slept = self._attempts - self._counted.get(reason, 0.0)
            if slept > 0 and not watch.level:
                watch.rest(slept)
            self._counted[reason] = self._attempts + attempts
            count = failed.get(reason, 0) if reason else sum(failed.values())
            change = watch.step(seen.at_s, seen.width_s, attempts, count)
            if change is not None:
                changes.append((kind_of(reason), *change))
            if not watch.asleep:
                still.add(reason)
        self._awake = still

    def _meet(self, failed: Mapping[str, int]) -> None:
        """Take up reasons that were never seen before."""
        for reason in failed:
            if reason not in self._reasons and len(self._reasons) < REASONS_MAX:
                usual = STUCK_USUAL if reason == STUCK else REASON_USUAL
                width_s = self.model.width_s
                rho, blips = self.model.all_failures.rho, self.model.everyday
                model = untaught(usual, rho, width_s, floors_at(width_s), blips=blips)
                self._reasons[reason] = FailureWatch(model)

    def _alarm(self, kind: str, level: Level, at_s: float, start_s: float, score: float) -> Alarm:
        return Alarm(self.model.name, kind, level, at_s, start_s, round(score, 3))

    def to_state(self) -> dict[str, Any]:
        """Model and state, as plain values for JSON: all that the future depends on."""
        return {
            "model": self.model.to_state(),
            "seen_until_s": self.seen_until_s if self.seen_until_s > float("-inf") else None,
            "attempts": self._attempts,
            "awake": sorted(self._awake),
            "counted": dict(self._counted),
            "reasons": {reason: [watch.model.to_state(), watch.to_state()] for reason, watch in self._reasons.items()},
            "volume": None if self._volume is None else self._volume.to_state(),
            "silence": self._silence.to_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "SeriesDetector":
        """Back from `to_state`: the same future from here on."""
        model = SeriesModel.from_state(state["model"])
        detector = cls(model)
        seen_until_s = state["seen_until_s"]
        detector.seen_until_s = float("-inf") if seen_until_s is None else seen_until_s
        detector._attempts, detector._counted = state["attempts"], dict(state["counted"])
        detector._awake = set(state["awake"])
        detector._reasons = {
            reason: FailureWatch.from_state(FailureModel.from_state(of), saved)
            for reason, (of, saved) in state["reasons"].items()
        }
        if model.volume is not None:
            detector._volume = VolumeWatch.from_state(model.volume, state["volume"])
        detector._silence = FailureWatch.from_state(model.silence, state["silence"])
        return detector
