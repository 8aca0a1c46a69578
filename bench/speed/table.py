"""The rows of a run on the terminal: narrow enough for 100 columns, a miss never by colour alone."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table

from bench.speed.figures import Row

HEADINGS = ("", "measured", "to P", "spread", "target", "p50", "p99", "books")


def table(rows: Sequence[Row], *, quick: bool) -> Group:
    """One line for each row, and under them what each of them is; waits are in milliseconds."""
    title = "One short repeat: not to be quoted" if quick else "Medians of the repeats; waits in ms"
    made = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False)
    for heading in HEADINGS:
        made.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    legend = Table(box=None, pad_edge=False, show_header=False)
    for row in rows:
        made.add_row(*_cells(row), style="" if row.met else "bold")
        legend.add_row(row.id, row.name)
    return Group(made, "", legend)


def _cells(row: Row) -> tuple[str, ...]:
    value = f"{row.value:,.0f} {row.unit}" if row.value >= 100 else f"{row.value:.1f} {row.unit}"
    if row.target.most is not None:
        return row.id, value, "", "", _target(row, f"{row.target.most:g} {row.unit}"), "", "", ""
    ratio = row.target.ratio
    spread = f"{min(row.ratios):.2f}-{max(row.ratios):.2f}"
    aim = "" if ratio is None else _target(row, f"{ratio:g}")
    books = "right" if row.books_ok else "WRONG"
    return row.id, value, f"{row.ratio:.2f}", spread, aim, f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}", books


def _target(row: Row, words: str) -> str:
    return f"{words} met" if row.met else f"{words} missed"
