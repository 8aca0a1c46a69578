"""The history of each component in minutes: measured, good, down; counted as evidence arrives, a minute at a time.

A minute is good when fewer than 5 % of its outcomes were technical failures, and measured when there were any. A
component is down when five requests in a row, a customer's or a probe's, got no reply: from the first of them until
one is answered. Signals count outcomes of five seconds together, so a row is broken by any interval in which one
request was answered; five seconds are the grain of what is said here. A minute is closed when it has been over for
LAG_MS, so that what arrives late still counts; what arrives later does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hakika.health.assessment import AVAILABLE, DEGRADED, UNAVAILABLE, UNKNOWN
from hakika.health.shown import MAINTENANCE, Shown
from hakika.store.health.evidence import ProbeRow, SignalRow
from hakika.store.health.judging import DayRow

MINUTE_MS = 60_000
LAG_MS = 30_000
GOOD_BELOW = 0.05  # share of technical failures, as the page publishes it
DOWN_AFTER = 5  # requests in a row
WORST = (UNKNOWN, AVAILABLE, MAINTENANCE, DEGRADED, UNAVAILABLE)  # a day of which anything is known is not unknown
NO_REPLY = frozenset({"timeout", "unreachable", "stuck"})


@dataclass(slots=True)
class _Line:
    """One component: its open minutes, and the row of requests without a reply."""

    minutes: dict[int, list[int]] = field(default_factory=dict)  # begins: [ended, failed]
    upto: dict[str, int] = field(default_factory=dict)  # by source: the last interval or test counted
    silent: int = 0
    silent_ms: int = 0  # when the first of them was
    down_ms: int = 0  # counted as down up to here
    closed_ms: int = 0  # minutes before this are closed
    worst: dict[str, str] = field(default_factory=dict)  # of today and of the day before, by ISO date


class Days:
    """Counts minutes; `rows` says what a commit adds, `saved` that it was committed."""

    def __init__(self, zone: str, state: Mapping[str, Any] | None = None) -> None:
        """`zone` decides when a day ends; `state` is what `to_state` gave."""
        self._zone = ZoneInfo(zone)
        self._lines = {name: _Line(**_woken(line)) for name, line in (state or {}).items()}
        self._pending: list[tuple[str, int, int, int, int]] = []  # component, minute, measured, good, down

    def take(self, signals: Sequence[SignalRow], probes: Sequence[ProbeRow], now_ms: int) -> None:
        """Count evidence, some of which may have been counted before, and close what is over."""
        requests: list[tuple[int, str, int, int]] = []  # at, component, answered, without a reply
        for row in signals:
            line = self._lines.setdefault(row.series, _Line())
            if row.at_ms <= line.upto.get(row.source, -1):
                continue
            line.upto[row.source] = row.at_ms
            failed = sum(row.failed.values())
            begins = row.at_ms // MINUTE_MS * MINUTE_MS
            if begins >= line.closed_ms:
                counts = line.minutes.setdefault(begins, [0, 0])
                counts[0] += row.ended
                counts[1] += failed
            unanswered = sum(count for reason, count in row.failed.items() if reason in NO_REPLY)
            requests.append((row.at_ms, row.series, row.ended - unanswered, unanswered))
        for test in probes:
            line = self._lines.setdefault(test.component, _Line())
            source = f"probe {test.vantage} {test.probe}"
            if test.at_ms > line.upto.get(source, -1):
                line.upto[source] = test.at_ms
                requests.append((test.at_ms, test.component, int(test.ok), int(not test.ok)))
        for at_ms, component, answered, unanswered in sorted(requests):
            self._asked(self._lines[component], component, at_ms, answered, unanswered)
        for component, line in self._lines.items():
            self._close(component, line, now_ms)

    def rows(self, states: Mapping[str, Shown], now_ms: int) -> list[DayRow]:
        """What is to be added to the days, with the worst state of each; the same until `saved`."""
        today = self._day(now_ms)
        added: dict[tuple[str, date], list[int]] = {}
        for component, at_ms, measured, good, down in self._pending:
            counts = added.setdefault((component, self._day(at_ms)), [0, 0, 0])
            for place, value in enumerate((measured, good, down)):
                counts[place] += value
        for component, told in states.items():
            line = self._lines.setdefault(component, _Line())
            before = line.worst.get(today.isoformat(), UNKNOWN)
            line.worst[today.isoformat()] = max(before, told.state, key=WORST.index)
            line.worst = dict(sorted(line.worst.items())[-2:])
            if line.worst[today.isoformat()] != before:
                added.setdefault((component, today), [0, 0, 0])
        return [
            DayRow(component, day, self._lines[component].worst.get(day.isoformat(), UNKNOWN), *counts)
            for (component, day), counts in sorted(added.items())
            if component in states
        ]

    def saved(self) -> None:
        """What `rows` gave is committed."""
        self._pending.clear()

    def to_state(self) -> dict[str, Any]:
        """As plain values for JSON, without what `rows` gives."""
        return {
            name: {
                "minutes": {str(begins): counts for begins, counts in line.minutes.items()},
                "upto": line.upto,
                "silent": line.silent,
                "silent_ms": line.silent_ms,
                "down_ms": line.down_ms,
                "closed_ms": line.closed_ms,
                "worst": line.worst,
            }
            for name, line in self._lines.items()
        }

    def _asked(self, line: _Line, component: str, at_ms: int, answered: int, unanswered: int) -> None:
        if answered:
            self._count_down(line, component, at_ms)
            line.silent = 0
        elif unanswered:
            if not line.silent:
                line.silent_ms = line.down_ms = at_ms
            line.silent += unanswered

    def _count_down(self, line: _Line, component: str, until_ms: int) -> None:
        """Add whole minutes of being down up to `until_ms`; a part of one waits for the rest."""
        if line.silent < DOWN_AFTER:
            return
        minutes = (until_ms - line.down_ms) // MINUTE_MS
        for number in range(minutes):
            self._pending.append((component, line.down_ms + number * MINUTE_MS, 0, 0, 1))
        line.down_ms += minutes * MINUTE_MS

    def _close(self, component: str, line: _Line, now_ms: int) -> None:
        self._count_down(line, component, now_ms)
        over_ms = (now_ms - LAG_MS) // MINUTE_MS * MINUTE_MS
        for begins in sorted(one for one in line.minutes if one < over_ms):
            ended, failed = line.minutes.pop(begins)
            if ended:
                self._pending.append((component, begins, 1, int(failed < GOOD_BELOW * ended), 0))
        line.closed_ms = max(line.closed_ms, over_ms)

    def _day(self, at_ms: int) -> date:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self._zone).date()


def _woken(line: Mapping[str, Any]) -> dict[str, Any]:
    minutes = {int(begins): list(counts) for begins, counts in line["minutes"].items()}
    return {**line, "minutes": minutes, "upto": dict(line["upto"]), "worst": dict(line["worst"])}
