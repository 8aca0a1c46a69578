"""A CSV of somebody else's measurements, read into series of intervals, or refused with the row and the rule.

Two shapes: a time, a status and a count (a row for each interval and status), or a time and a value. Columns are
found by name, whatever the case, and may be named instead; rows may be unsorted, doubled or missing. A row that is
wholly the same as an earlier one counts once; of two values for one time the later row holds, and counts of one status
are added. An interval with no row at all is a silence where values are measured, and nothing arrived where
transfers are counted, because a count of zero has no row to stand in.
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Protocol

from hakika.health.file_times import TimeForms, TimeRefused
from hakika.health.observations import Interval, Silence
from hakika.health.profile import DAY_S

TIME_NAMES = ("time", "timestamp", "time_stamp", "datetime", "date_time", "date", "ds", "ts", "minute", "hour", "at")
STATUS_NAMES = ("status", "state", "result", "outcome")
VALUE_NAMES = ("value", "count", "rate", "y", "v", "amount", "total", "n", "requests", "counts", "f0_", "metric")
NOT_VALUES = ("label", "labels", "anomaly", "is_anomaly", "outlier", "id", "index")
MISSING = ("", "nan", "null", "na", "none", "-")
TECHNICAL = frozenset((
    "fail", "failed", "failure", "failures", "error", "errors", "timeout", "timed_out", "reversed", "backend_reversed",
    "technical", "technical_decline", "td", "unavailable", "issuer_unavailable", "system_error",
))  # fmt: skip
PART_ROWS = 20  # a gap this long, and longer than a day, is not a silence: the file has parts


class FileRefused(Exception):
    """The file cannot be judged; the text says which row or column, and by what rule."""


class Rows(Protocol):
    """What `csv.reader` gives: rows of cells, and the number of the line just read."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns to take; None where they are to be found by name."""

    time: str | None = None
    value: str | None = None
    group: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


@dataclass(slots=True)
class Series:
    """One series of a file: its observations in the order of time, in parts that are far from one another."""

    name: str
    width_s: float
    counted: bool  # transfers by status, rather than values
    parts: list[list[Interval | Silence]]


@dataclass(slots=True)
class SeriesFile:
    """All series of a file, how it writes times, and what a reader should know about how it was taken."""

    series: list[Series]
    times: TimeForms
    notes: list[str] = field(default_factory=list)


def read(path: Path, columns: Columns) -> SeriesFile:
    """The file's series; raises FileRefused."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileRefused(error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise FileRefused(f"byte {error.start} is not UTF-8") from None
    return parse(text, columns, path.stem)


def parse(text: str, columns: Columns, stem: str) -> SeriesFile:
    """The series of a file's text; `stem` names the series where no column does."""
    first_line = text.lstrip().partition("\n")[0]
    if not first_line.strip():
        raise FileRefused("the file is empty; the first row must name the columns")
    delimiter = max(",;\t", key=first_line.count)
    rows = csv.reader(io.StringIO(text.lstrip()), delimiter=delimiter, skipinitialspace=True)
    try:
        return _Reader([name.strip() for name in next(rows)], columns, stem).read(rows)
    except csv.Error as error:
        raise FileRefused(f"row {rows.line_num}: not CSV: {error}") from None


class _Reader:
    def __init__(self, header: list[str], columns: Columns, stem: str) -> None:
        self.header = [name.casefold() for name in header]
        self.names = header
        self.stem = stem
        self.times = TimeForms()
        self.notes: list[str] = []
        self.time = self._column(columns.time, TIME_NAMES, "time")
        self.group = [self._named(name) for name in columns.group]
        self.status = next((self.header.index(name) for name in STATUS_NAMES if name in self.header), None)
        if self.status in self.group or columns.value:
            self.status = None
        self.value = self._value_column(columns.value)
        self.failures = tuple(name.strip().casefold() for name in columns.failures)
        if self.failures and self.status is None:
            raise FileRefused(f"--failure names statuses, and no column is named status (columns: {self._known()})")

    def _known(self) -> str:
        return ", ".join(self.names)

    def _named(self, name: str) -> int:
        if name.strip().casefold() not in self.header:
            raise FileRefused(f"no column is named {name} (columns: {self._known()})")
        return self.header.index(name.strip().casefold())

    def _column(self, chosen: str | None, names: Sequence[str], what: str) -> int:
        if chosen:
            return self._named(chosen)
        for name in names:
            if name in self.header:
                return self.header.index(name)
        raise FileRefused(f"no column is a {what} by its name: {', '.join(names)} (columns: {self._known()})")

    def _value_column(self, chosen: str | None) -> int:
        taken = {self.time, self.status, *self.group}
        if chosen:
            return self._named(chosen)
        for name in VALUE_NAMES:
            if name in self.header and self.header.index(name) not in taken:
                return self.header.index(name)
        rest = [i for i, name in enumerate(self.header) if i not in taken and name not in NOT_VALUES]
        if len(rest) == 1:
            return rest[0]
        raise FileRefused(
            f"no column is a value or count by its name: {', '.join(VALUE_NAMES)} (columns: {self._known()}); "
            "name it with --value"
        )

    def read(self, rows: "Rows") -> SeriesFile:
        seen: set[tuple[str, ...]] = set()
        cells: dict[str, dict[float, dict[str, float]]] = {}
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) < len(self.header):
                raise FileRefused(f"row {rows.line_num}: {len(row)} columns, and the first row names {len(self.names)}")
            key = tuple(row)
            if key in seen:
                continue
            seen.add(key)
            self._take(row, rows.line_num, cells)
        if not cells:
            raise FileRefused("no row has both a time and a value")
        if self.status is not None:
            self._settle_failures({status for series in cells.values() for at in series.values() for status in at})
        series = [self._series(name, by_time) for name, by_time in cells.items()]
        return SeriesFile(series, self.times, self.notes)

    def _take(self, row: list[str], line: int, cells: dict[str, dict[float, dict[str, float]]]) -> None:
        try:
            at_s = self.times.read(row[self.time])
        except TimeRefused as error:
            raise FileRefused(f"row {line}, column {self.names[self.time]}: {error}") from None
        text = row[self.value].strip()
        if text.casefold() in MISSING:
            return
        where = f"row {line}, column {self.names[self.value]}: {text!r}"
        try:
            value = float(text)
        except ValueError:
            raise FileRefused(f"{where} is no number") from None
        if not math.isfinite(value) or value < 0:
            raise FileRefused(f"{where}; a count or a rate is finite and not below zero")
        name = "/".join(row[index].strip() for index in self.group) if self.group else self.stem
        at = cells.setdefault(name, {}).setdefault(at_s, {})
        if self.status is None:
            at[""] = value
        else:
            if not value.is_integer():
                raise FileRefused(f"{where}; a count of a status is whole")
            status = row[self.status].strip().casefold()
            at[status] = at.get(status, 0) + value

    def _settle_failures(self, statuses: set[str]) -> None:
        known = ", ".join(sorted(statuses))
        if not self.failures:
            self.failures = tuple(
                sorted(one for one in statuses if one.replace(" ", "_").replace("-", "_") in TECHNICAL)
            )
            if not self.failures:
                raise FileRefused(
                    f"none of the statuses is a technical failure by its name; name some with --failure ({known})"
                )
            self.notes.append(f"no --failure: taken as technical failures: {', '.join(self.failures)}")
        absent = [one for one in self.failures if one not in statuses]
        if len(absent) == len(self.failures):
            raise FileRefused(f"no row has a status named with --failure (statuses: {known})")
        if absent:
            self.notes.append(f"no row has status {', '.join(absent)}")

    def _series(self, name: str, by_time: dict[float, dict[str, float]]) -> Series:
        times = sorted(by_time)
        gaps = [later - earlier for earlier, later in pairwise(times)]
        width_s = median(gaps) if gaps else 60.0
        counted = self.status is not None
        parts: list[list[Interval | Silence]] = [[]]
        last_s: float | None = None
        for at_s in times:
            if last_s is not None:
                missing = round((at_s - last_s) / width_s) - 1
                if missing > PART_ROWS and at_s - last_s > DAY_S:
                    parts.append([])
                else:
                    absent = (last_s + width_s * number for number in range(1, missing + 1))
                    parts[-1].extend(Interval(at, width_s, 0) if counted else Silence(at, name) for at in absent)
            parts[-1].append(self._interval(at_s, width_s, by_time[at_s]))
            last_s = at_s
        return Series(name, width_s, counted, parts)

    def _interval(self, at_s: float, width_s: float, counts: dict[str, float]) -> Interval:
        if self.status is None:
            return Interval(at_s, width_s, 0, {}, counts[""])
        ended = int(sum(counts.values()))
        failed = {status: int(counts[status]) for status in self.failures if counts.get(status)}
        return Interval(at_s, width_s, ended, failed, ended)
