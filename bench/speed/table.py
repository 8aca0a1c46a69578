"""The rows of a run on the terminal: narrow enough for 100 columns, a miss never by colour alone."""

from collections.abc import Sequence

from rich.table import Table

from bench.speed.figures import Row

HEADINGS = ("", "work", "measured", "to P", "spread", "target", "p50", "p99", "books")
LEFT = frozenset({"", "work"})


def table(rows: Sequence[Row], *, quick: bool) -> Table:
    """One line for each row; waits are in milliseconds."""
    title = "One short repeat: not to be quoted" if quick else "Medians of the repeats; waits in ms"
    made = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False)
    for heading in HEADINGS:
        left = heading in LEFT
        made.add_column(heading, justify="left" if left else "right", no_wrap=not left, overflow="fold")
    for row in rows:
        made.add_row(*_cells(row), style="" if row.met else "bold")
    return made


def _cells(row: Row) -> tuple[str, ...]:
    value = f"{row.value:,.0f} {row.unit}" if row.value >= 100 else f"{row.value:.1f} {row.unit}"
    books = "right" if row.books_ok else "WRONG"
    if row.target.most is not None:
        return row.id, row.name, value, "", "", _target(row, f"{row.target.most:g} {row.unit}"), "", "", ""
    ratio = row.target.ratio
    spread = f"{min(row.ratios):.2f}-{max(row.ratios):.2f}"
    waits = (f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}")
    aim = "" if ratio is None else _target(row, f"{ratio:g}")
    return row.id, row.name, value, f"{row.ratio:.2f}", spread, aim, *waits, books


def _target(row: Row, words: str) -> str:
    return f"{words} met" if row.met else f"{words} missed"
