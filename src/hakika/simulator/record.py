"""The record of one run, as pictures and words need it: when it began, what was done to it, and what followed.

Instants are wall-clock milliseconds; the story's clock is the scenario's, running `scale` times faster from the
moment at which demand began. Series are computed from the recorded lives, never from what was shown live.
"""

from dataclasses import dataclass, field
from datetime import datetime

from hakika.simulator.detection import Detection
from hakika.simulator.lives import Booked, Life
from hakika.simulator.reckoning import Reckoning
from hakika.simulator.scenario import Scenario
from hakika.simulator.tracking import Sample

# Upper ends of the bars of waits, seconds of real time; the last one is open.
WAIT_STEPS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 160.0, 320.0, 640.0)


@dataclass(slots=True)
class Mark:
    """Something that was done to the platform."""

    at_ms: int
    kind: str  # break, mend, kill, noise, slow, storm
    target: str
    note: str
    until_ms: int | None = None  # a killed process answered again


@dataclass(slots=True)
class Record:
    """One run."""

    scenario: Scenario
    seed: int
    began_ms: int
    ended_ms: int
    marks: list[Mark]
    lives: dict[str, Life]
    booked: dict[str, Booked]
    samples: list[Sample]
    reckoning: Reckoning
    machine: dict[str, str] = field(default_factory=dict)
    detection: Detection | None = None  # None where health did not run, or nothing was expected of it

    def story(self, at_ms: int) -> datetime:
        """The story's clock at an instant."""
        return self.scenario.story_time((at_ms - self.began_ms) / 1000)

    def clock(self, at_ms: int) -> str:
        """The story's clock, hours and minutes; with the day where it is not the one on which the outage began."""
        moment = self.story(at_ms)
        same = moment.date() == self.scenario.story_time(self.scenario.outage[0]).date()
        return f"{moment:%H:%M}" if same else f"{moment:%H:%M} on {moment.day} {moment:%B}"

    def seconds(self, at_ms: int) -> float:
        """Real seconds since demand began."""
        return (at_ms - self.began_ms) / 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """How many transfers stood where at a second of the run."""

    at_s: float
    held: int
    in_doubt: int
    coming_back: int

    @property
    def in_flight(self) -> int:
        """Accepted and not yet where it belongs."""
        return self.held + self.in_doubt + self.coming_back


@dataclass(frozen=True, slots=True)
class WaitBar:
    """How many transfers waited so long."""

    from_s: float
    to_s: float | None
    completed: int
    returned: int

    @property
    def count(self) -> int:
        """Both together."""
        return self.completed + self.returned


def moments(record: Record, step_s: float = 1.0) -> list[Moment]:
    """Transfers in flight over the run, one moment a step."""
    end_s = record.seconds(record.ended_ms)
    steps = int(end_s / step_s) + 2
    held, doubt, back = ([0] * (steps + 1) for _ in range(3))

    def span(series: list[int], from_ms: int, to_ms: int | None) -> None:
        first = _step(record.seconds(from_ms), step_s, steps)
        series[first] += 1
        series[steps if to_ms is None else _step(record.seconds(to_ms), step_s, steps)] -= 1

    for life in record.lives.values():
        span(held, life.received_ms, life.final_ms)
        for attempt in life.attempts:
            span(doubt, attempt.recorded_ms, attempt.closed_ms)
            span(held, attempt.closed_ms or record.ended_ms, attempt.recorded_ms)  # not merely held meanwhile
        if life.decided_ms is not None:
            span(back, life.decided_ms, life.acknowledged_ms)
    found, sums = [], [0, 0, 0]
    for index in range(steps):
        sums = [total + series[index] for total, series in zip(sums, (held, doubt, back), strict=True)]
        found.append(Moment(index * step_s, max(0, sums[0]), max(0, sums[1]), max(0, sums[2])))
    return found


def _step(at_s: float, step_s: float, steps: int) -> int:
    """The first step at or after an instant."""
    return min(steps, max(0, -int(-at_s // step_s)))


def wait_bars(record: Record) -> list[WaitBar]:
    """Waits from custody until the money was where it belonged, shortest first."""
    edges = [0.0, *WAIT_STEPS_S]
    bars = []
    settled = [life for life in record.lives.values() if life.settled_ms is not None]
    waits = [((life.settled_ms or 0) - life.received_ms, life.status) for life in settled]
    for place, from_s in enumerate(edges):
        to_s = edges[place + 1] if place + 1 < len(edges) else None
        inside = [
            status for wait_ms, status in waits if wait_ms >= from_s * 1000 and (to_s is None or wait_ms < to_s * 1000)
        ]
        bars.append(WaitBar(from_s, to_s, inside.count("COMPLETED"), inside.count("RETURNED")))
    while bars and bars[-1].count == 0:
        bars.pop()
    return bars


def quantile_s(record: Record, share: float) -> float:
    """The wait that this share of transfers did not exceed."""
    waits = sorted(life.settled_ms - life.received_ms for life in record.lives.values() if life.settled_ms)
    return waits[min(len(waits) - 1, int(share * len(waits)))] / 1000 if waits else 0.0


def duration(seconds: float) -> str:
    """For people: `40 s`, `3 min`, `4 h 12 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 180:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90 and minutes != 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
