"""`hakika health evaluate`: the running detector over a file of measurements, its alarms as JSON lines.

Nothing here judges: a file becomes the observations that running roles would have delivered, the models are fitted
on what came before the end of the quiet data, and each change to the level that would publish is one line. Where a
file is too short to have quiet data, the detector learns as it goes, as it does for a corridor on its first day.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hakika.health.detector import SeriesDetector, SeriesModel
from hakika.health.failures import FailureModel
from hakika.health.file_times import TimeRefused, unix_s
from hakika.health.fitting_volume import fit_volume
from hakika.health.judgement import MONTH_S, Alarm, Level, floors_at
from hakika.health.observations import Interval, Silence
from hakika.health.profile import DAY_S
from hakika.health.series_file import Columns, FileRefused, Series, SeriesFile, read

QUIET_ROWS_MIN = 96  # a first half with fewer is not taken for quiet data
ADOPT_AFTER_S = DAY_S  # a change in a file that lasts longer is its new level
SILENT_FILE_USUAL = 0.01
FALSE_ALARMS_PER_MONTH = 1.0  # for each series of a file, over its kinds of evidence
SHORT_FALSE_ALARMS_PER_MONTH = 10.0  # without quiet data: a short recording was kept because something happened in it
TRUST_S = 4 * 3600.0  # a file has the quiet data it has
KINDS = 2


@dataclass(frozen=True, slots=True)
class Found:
    """An alarm with the stamp of the row that decided."""

    alarm: Alarm
    row_s: float


def run(path: Path, columns: Columns, fit_until: str | None) -> int:
    """Judge the file: alarms to standard output, assumptions and their count to standard error. The exit status."""
    try:
        until_s = None if fit_until is None else unix_s(fit_until)
    except TimeRefused as error:
        print(f"hakika: --fit-until: {error}", file=sys.stderr)
        return 2
    try:
        file = read(path, columns)
    except FileRefused as error:
        print(f"hakika: {path.name}: {error}", file=sys.stderr)
        return 1
    for note in file.notes:
        print(f"hakika: {note}", file=sys.stderr)
    said = _assumed(file) if until_s is None else _misplaced(file, until_s)
    if said:
        print(f"hakika: {said}", file=sys.stderr)
    alarms = 0
    try:
        for found in judged(file, until_s):
            print(json.dumps(_line(found, file), ensure_ascii=False))
            alarms += 1
        sys.stdout.flush()
        print(f"hakika: {_counted(alarms, 'alarm')} in {_counted(len(file.series), 'series')}", file=sys.stderr)
    except BrokenPipeError:  # the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 or what.endswith('s') else 's'}"


def judged(file: SeriesFile, until_s: float | None) -> Iterator[Found]:
    """The alarms of a file, series by series; `until_s` is where quiet data ends, None for half of each part."""
    for series in file.series:
        quiet = [] if until_s is None else [seen for part in series.parts for seen in part if seen.at_s < until_s]
        for part in series.parts:
            begin_s = until_s
            if until_s is None:
                half = len(part) // 2
                quiet = part[:half] if half >= QUIET_ROWS_MIN else []
                begin_s = part[half].at_s if quiet else part[0].at_s
            yield from _part(series, quiet, [seen for seen in part if begin_s is None or seen.at_s >= begin_s])


def _part(series: Series, quiet: list[Interval | Silence], part: list[Interval | Silence]) -> Iterator[Found]:
    detector = SeriesDetector(_model(series, [seen for seen in quiet if isinstance(seen, Interval)]))
    standing: set[str] = set()
    for seen in part:
        for alarm in detector.step(seen):
            if alarm.level is Level.PUBLISH:
                # Failures of one reason and of all together are one episode, told once.
                family = alarm.kind.partition(":")[0]
                if not any(kind.partition(":")[0] == family for kind in standing):
                    yield Found(alarm, seen.at_s)
                standing.add(alarm.kind)
            elif alarm.level is Level.QUIET:
                standing.discard(alarm.kind)


def _model(series: Series, quiet: list[Interval]) -> SeriesModel:
    a_month = FALSE_ALARMS_PER_MONTH if quiet else SHORT_FALSE_ALARMS_PER_MONTH
    share_per_s = a_month / KINDS / MONTH_S
    width_s = series.width_s
    if series.counted:
        if quiet:
            return SeriesModel.fit(
                series.name, quiet, width_s, share_per_s=share_per_s, trust_s=TRUST_S, everyday=False
            )
        return SeriesModel.unknown(series.name, width_s, everyday=False)
    volume = fit_volume(
        [(seen.at_s, seen.arrived) for seen in quiet],
        width_s,
        rise=True,
        adopt_after_s=ADOPT_AFTER_S,
        share_per_s=share_per_s,
    )
    floors = floors_at(width_s, share_per_s)
    return SeriesModel(series.name, width_s, volume=volume, silence=FailureModel(SILENT_FILE_USUAL, thresholds=floors))


def _line(found: Found, file: SeriesFile) -> dict[str, Any]:
    alarm = found.alarm
    return {
        "series": alarm.series,
        "at": file.times.write(found.row_s),
        "kind": alarm.kind,
        "start_estimate": file.times.write(alarm.start_s),
        "score": round(alarm.score, 2),
    }


def _misplaced(file: SeriesFile, until_s: float) -> str:
    times = [seen.at_s for series in file.series for part in series.parts for seen in part]
    if until_s > max(times):
        return "--fit-until is after the last row: everything is quiet data, and nothing is judged"
    if until_s <= min(times):
        return "--fit-until is before the first row: there is no quiet data, and the usual level is learnt as it goes"
    return ""


def _assumed(file: SeriesFile) -> str:
    halves = [part for series in file.series for part in series.parts if len(part) // 2 >= QUIET_ROWS_MIN]
    if not halves:
        return "no --fit-until, and too few rows to call any quiet: the usual level is learnt as it goes"
    if len(halves) == 1 and len(file.series) == 1:
        until = file.times.write(halves[0][len(halves[0]) // 2].at_s)
        return f"no --fit-until: the first half, before {until}, is taken as quiet"
    return "no --fit-until: the first half of each series is taken as quiet, where it is long enough"
