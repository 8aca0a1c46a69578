"""Customers' reports of one service: a signal that corroborates and never decides.

Reports rise when something is wrong, when a rumour runs and when somebody pays for a thousand accounts; they cannot be
told apart from here. So their score is capped, below what opens anything, and what a rise does is fixed in `fusion`.
Reports are counted in intervals of one width; an interval without reports is one with none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hakika.health.fitting_volume import fit_volume
from hakika.health.judgement import Level
from hakika.health.observations import Reports
from hakika.health.profile import DAY_S
from hakika.health.volume import VolumeModel, VolumeWatch

REPORT_CAP = 6.0


class ReportsWatch:
    """Follows the reports of one service; `step` is to be called in the order of time."""

    __slots__ = ("_model", "_watch", "seen_until_s", "series")

    def __init__(self, series: str, model: VolumeModel) -> None:
        self.series = series
        self._model = model
        self.seen_until_s = float("-inf")
        self._watch = VolumeWatch(model)

    @classmethod
    def fit(cls, series: str, quiet: Sequence[Reports], width_s: float) -> "ReportsWatch":
        """Learn how many reports are usual; with no quiet data the first intervals say."""
        rows = [(seen.at_s, float(seen.persons)) for seen in quiet]
        return cls(series, fit_volume(rows, width_s, drop=False, rise=True, adopt_after_s=DAY_S))

    def step(self, seen: Reports) -> None:
        """Count an interval; one that is not newer than the last changes nothing."""
        if seen.at_s + seen.width_s <= self.seen_until_s:
            return
        self.seen_until_s = seen.at_s + seen.width_s
        self._watch.step(seen.at_s, seen.persons, seen.width_s / self._watch.model.width_s)

    @property
    def score(self) -> float:
        """The evidence of the moment, at most REPORT_CAP."""
        return min(REPORT_CAP, self._watch.sides[0].score)

    @property
    def elevated(self) -> bool:
        """More reports than chance explains, and not yet back to the usual."""
        side = self._watch.sides[0]
        return side.level >= Level.AMBER or side.score >= REPORT_CAP

    @property
    def since_s(self) -> float | None:
        """Since when reports are elevated; None while they are not."""
        if not self.elevated:
            return None
        side = self._watch.sides[0]
        return side.start_s if side.level else side.started_s()

    def to_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as plain values for JSON."""
        return {
            "series": self.series,
            "model": self._model.to_state(),
            "seen_until_s": self.seen_until_s if self.seen_until_s > float("-inf") else None,
            "watch": self._watch.to_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "ReportsWatch":
        """Back from `to_state`: the same future from here on."""
        model = VolumeModel.from_state(state["model"])
        watch = cls(state["series"], model)
        watch.seen_until_s = float("-inf") if state["seen_until_s"] is None else state["seen_until_s"]
        watch._watch = VolumeWatch.from_state(model, state["watch"])
        return watch
