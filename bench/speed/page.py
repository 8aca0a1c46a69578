"""Writes the rows of `var/bench/latest.json` into `docs/performance.md`, and the picture beside it.

The page's words are written by hand; what stands between its two marks is made here, so that no figure on the page was
ever typed. A row says on which machine it was measured, because rows of several runs may stand together: what was not
measured here stays as it was, and all rows with their repeats are kept beside the page. A row that says `rebuilt` was
read back from an earlier page, whose rows were lost; the page says which.
"""

import json
import statistics
from pathlib import Path
from typing import Any

from bench.speed.picture import picture
from bench.speed.picture_hour import course

BEGIN, END = "<!-- figures: made by make bench -->", "<!-- end of figures -->"
PAGE = "docs/performance.md"
KEPT = "docs/performance.json"
PICTURE = "docs/pictures/performance.svg"
COURSES = {"H1": "An hour at half of what it can do", "KILL": "The same hour with 100 kills"}
ORDER = ("L1", "L2", "G1", "G2", "D1", "S1", "M1", "OVER", "H1", "KILL")  # whenever each was measured
BESIDE_ITSELF = "S1"  # its ratio is to its own beginning, not to P
HOUR = (
    "{first_sixth_per_s:,} transfers a second in the first sixth of the time, {last_sixth_per_s:,} in the last; "
    "{unanswered:,} without an end, {left_out:,} left out, {sent_again:,} sent again. Memory of core and gateway: "
    "{memory_sixth_mb} MB after the first sixth, {memory_last_mb} MB at the end, {memory_most_mb} MB at most."
)
KILLS = (
    " {kills} kills ({kills_core} of the core, {kills_gateway} of a gateway, {kills_postgres} of PostgreSQL): the rate "
    "was back {back_s_most} s after each at most, and {back_late} times later than 5 s."
)
REBUILT = (
    "Read back from this page as it was after an earlier run: {ids}. Their single repeats are not known any more; "
    "p99 in payments, sums and quotients of theirs are made of rounded figures."
)
HEAD = "| | Work | Measured | To P | Spread | Target | p50 ms | p99 ms | p99.9 ms | p99 in payments | Books |"
RULE = "|---|---|---|---|---|---|---|---|---|---|---|"


def write_page(latest: Path, root: Path) -> None:
    """Put the rows and the picture where the page expects them. Raises ValueError where the page has lost its marks."""
    rows = sorted({**_rows(root / KEPT), **_rows(latest)}.values(), key=_place)
    (root / KEPT).write_text(json.dumps({"rows": rows}, indent=1) + "\n", "utf-8")
    drawn = root / PICTURE
    drawn.parent.mkdir(parents=True, exist_ok=True)
    drawn.write_text(picture(rows), "utf-8")
    courses = [_course(latest.parent, root, row) for row in rows if row["id"] in COURSES]
    page = root / PAGE
    before, mark, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{PAGE} has lost its marks {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{fragment(rows, courses)}\n{END}{after}", "utf-8")


def _rows(file: Path) -> dict[str, dict[str, Any]]:
    """Rows by id; none where there is no file."""
    return {row["id"]: row for row in json.loads(file.read_text("utf-8"))["rows"]} if file.is_file() else {}


def _place(row: dict[str, Any]) -> int:
    name = row["id"].partition("-")[0]
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _course(kept: Path, root: Path, row: dict[str, Any]) -> str:
    """Draw an hour from what was kept of it, or leave its picture; the line that shows it."""
    drawn, curve = root / f"docs/pictures/performance-{row['id'].lower()}.svg", kept / f"{row['id'].lower()}.json"
    if curve.is_file():
        drawn.write_text(course(json.loads(curve.read_text("utf-8")), COURSES[row["id"]]), "utf-8")
    told = (HOUR + KILLS if "kills" in row["extra"] else HOUR).format(**row["extra"])
    return f"![{COURSES[row['id']]}](pictures/{drawn.name})\n\n{row['id']}: {told}"


def fragment(rows: list[dict[str, Any]], courses: list[str]) -> str:
    """Tables in Markdown: the rows, what they cost, and the machine they were measured on; the hours as pictures."""
    parts = ["\n".join([HEAD, RULE, *map(_line, rows)]), *courses]
    costly = [row for row in rows if any(name.startswith("cpu_ms_") for name in row["extra"])]
    if costly:
        parts += ["### Processor time for one", "\n".join(_costs(costly))]
    asked = [row for row in rows if row["peers"]]
    if asked:
        parts += ["### Other programs, same run", "\n".join(_peers(asked))]
    parts += ["### Where", "\n".join(_machines(rows))]
    if rebuilt := [row["id"] for row in rows if "rebuilt" in row]:
        parts += [REBUILT.format(ids=", ".join(rebuilt))]
    return "\n\n".join(parts) + "\n"


def _line(row: dict[str, Any]) -> str:
    books = "right" if row["books_ok"] else "**wrong**"
    value = f"{row['value']:,.0f} {row['unit']}" if row["value"] >= 100 else f"{row['value']:.1f} {row['unit']}"
    met = "met" if row["met"] else "**missed**"
    target = row["target"]
    if target["most"] is not None:
        return f"| {row['id']} | {row['name']} | {value} | | | {target['most']:g} {row['unit']}, {met} | | | | | |"
    ratios = [one["per_s"] / one["p"] for one in row["repeats"]]
    aim = [f"{target['ratio']:g}"] if target["ratio"] is not None else []
    aim += [f"p99 {target['p99_ms']:g} ms"] if target["p99_ms"] is not None else []
    said = f"{', '.join(aim)}: {met}" if aim else ""
    waits = " | ".join(f"{row[name]:.1f}" for name in ("p50_ms", "p99_ms", "p999_ms"))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else "one repeat"
    payments = statistics.median(one["p"] * one["p99_ms"] / 1000 for one in row["repeats"])
    shown = "" if row["id"] == BESIDE_ITSELF else f"{payments:,.0f}"
    cells = [row["id"], row["name"], value, f"{row['ratio']:.2f}", spread, said, waits, shown, books]
    return f"| {' | '.join(cells)} |"


def _costs(rows: list[dict[str, Any]]) -> list[str]:
    names = sorted({name for row in rows for name in row["extra"] if name.startswith("cpu_ms_")})
    shown = [name.removeprefix("cpu_ms_") for name in names]
    lines = ["| | " + " | ".join(shown) + " | together, ms |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        values = [row["extra"].get(name) for name in names]
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        together = sum(value for value in values if value is not None)
        lines.append(f"| {row['id']} | " + " | ".join(cells) + f" | {together:.3f} |")
    return lines


def _peers(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| | Program | Per second | Hakika is so many times as fast |", "|---|---|---|---|"]
    for row in rows:
        for name, per_s in row["peers"].items():
            lines.append(f"| {row['id']} | {name} | {per_s:,.0f} | {row['value'] / per_s:.1f} |")
    return lines


def _machines(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| Rows | Cores | Memory GiB | Load before | fdatasync us | Python |", "|---|---|---|---|---|---|"]
    by_machine: dict[str, list[str]] = {}
    for row in rows:
        by_machine.setdefault(json.dumps(row["machine"], sort_keys=True), []).append(row["id"])
    for facts, ids in by_machine.items():
        one = json.loads(facts)
        cells = [", ".join(ids), *(str(one[name]) for name in ("cores", "memory_gib", "load_before", "fsync_us"))]
        lines.append(f"| {' | '.join(cells)} | {one['python']} |")
    return lines
