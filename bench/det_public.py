"""The detector over public monitoring series that nobody here wrote: `python bench/det_public.py FOLDER [--json]`.

FOLDER holds the series that the README of the data names; they are not part of this repository. For customers'
report counts the question is how many buckets before the peak the first alarm comes; with no quiet data, the level
is learnt as it goes. For labelled rates the first part is taken as quiet, and on the rest an alarm within a labelled
episode, or up to three rows before it, is a hit; any other is counted as false, whatever the picture shows.
"""

import argparse
import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from hakika.health.evaluate import Found, judged
from hakika.health.judgement import MONTH_S
from hakika.health.series_file import Columns, SeriesFile, read

SPLITS = (0.3, 0.5)
EARLY_ROWS = 3
LONG_BEFORE = 24  # buckets of a quarter of an hour


def poisson_interval(count: int) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson mean, by bisection."""

    def tail(mean: float, most: int) -> float:
        return sum(math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(most + 1))

    def solve(target: float, most: int) -> float:
        low, high = 1e-9, 10.0 + 3.0 * count
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(middle, most) > target else (low, middle)
        return low

    return (0.0 if count == 0 else solve(0.975, count - 1)), solve(0.025, count)


def report_counts(path: Path) -> dict[str, Any]:
    """How many buckets before its peak each event's first alarm came."""
    file = read(path, Columns(group=("event_id", "provider")))
    first: dict[str, Found] = {}
    count: dict[str, int] = {}
    for found in judged(file, None):
        first.setdefault(found.alarm.series, found)
        count[found.alarm.series] = count.get(found.alarm.series, 0) + 1
    leads = []
    for series in file.series:
        rows = [seen for part in series.parts for seen in part]
        amounts = [getattr(seen, "arrived", 0.0) for seen in rows]
        peak = amounts.index(max(amounts))
        if series.name in first:
            leads.append(peak - [seen.at_s for seen in rows].index(first[series.name].row_s))
    return {
        "events": len(file.series),
        "alarmed": len(leads),
        "before_peak": sum(lead > 0 for lead in leads),
        "by_peak": sum(lead >= 0 for lead in leads),
        "median_buckets_before": median(leads),
        "long_before": sum(lead > LONG_BEFORE for lead in leads),
        "alarms_an_event": round(sum(count.values()) / max(1, len(count)), 2),
    }


def episodes(path: Path, file: SeriesFile) -> list[tuple[float, float]]:
    """First and last labelled row of each run of labels, in unix seconds."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        labels = {file.times.read(row["TimeStamp"]): row["Label"] == "1" for row in csv.DictReader(lines)}
    runs: list[tuple[float, float]] = []
    before = False
    for at_s in sorted(labels):
        if labels[at_s]:
            runs = [*runs[:-1], (runs[-1][0], at_s)] if before else [*runs, (at_s, at_s)]
        before = labels[at_s]
    return runs


def labelled(path: Path, split: float) -> dict[str, Any]:
    """Hits, delays and false alarms on the part of a labelled series after `split`."""
    file = read(path, Columns())
    series = file.series[0]
    rows = [seen for part in series.parts for seen in part]
    until_s = rows[int(len(rows) * split)].at_s
    alarms = [found.row_s for found in judged(file, until_s)]
    early_s = EARLY_ROWS * series.width_s
    true = [run for run in episodes(path, file) if run[0] >= until_s]
    inside = [[at_s for at_s in alarms if start - early_s <= at_s <= end] for start, end in true]
    delays = [min(found) - start for found, (start, _) in zip(inside, true, strict=True) if found]
    hits = {at_s for found in inside for at_s in found}
    months = (rows[-1].at_s - until_s) / MONTH_S
    false = len(set(alarms) - hits)
    low, high = poisson_interval(false)
    return {
        "series": path.stem,
        "quiet": f"{split:.0%}",
        "episodes": len(true),
        "hit": len(delays),
        "median_delay_rows": round(median(delays) / series.width_s, 1) if delays else None,
        "false": false,
        "months": round(months, 2),
        "false_a_month": round(false / months, 2),
        "interval_95": [round(low / months, 2), round(high / months, 2)],
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def main() -> int:
    """Print the two tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = report_counts(options.folder / "downdetector_counts.csv")
    names = sorted(path for kind in ("ingress", "api", "purchase") for path in options.folder.glob(f"{kind}-*.csv"))
    rates = [labelled(path, split) for path in names for split in SPLITS]
    if options.json:
        print(json.dumps({"report_counts": counts, "labelled": rates}, indent=1))
    else:
        print(_table([counts]), _table(rates), sep="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
