"""What a replay shows on the terminal: live progress, then the verdict and a picture of the waits.

On a terminal one block is redrawn in place; anywhere else a plain line comes every few seconds. The same words
and the same order in both, readable without colour and at 80 columns.
"""

import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hakika import clock
from hakika.simulator.lives import Counts
from hakika.simulator.pictures import story_label, wait_label
from hakika.simulator.reckoning import Broken
from hakika.simulator.record import Record, duration, wait_bars

PLAIN_EVERY_S = 5.0
PLAIN_WIDTH = 1000  # elsewhere lines are not broken: they may be searched
NEWS_SHOWN = 4
SPARKS = " ▁▂▃▄▅▆▇█"
SPARK_WIDTH = 60
BROKEN_SHOWN = 20
# The terminal's own palette, so that the states keep their colours on light and dark alike.
STYLES = {"held": "yellow", "completed": "green", "returned": "bright_blue", "broken": "red", "unknown": "bright_black"}


@dataclass(slots=True)
class Now:
    """Everything that is shown about this moment."""

    at_s: float = 0.0
    story: datetime | None = None
    phase: str = ""
    offered: int = 0
    counts: Counts | None = None
    known: bool = False  # the gateway's database answers
    broken: dict[str, str] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    zone: str = "EAT"


class Terminal:
    """Shows a run; use as a context."""

    def __init__(self, title: str, *, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._console = Console(file=self._out, highlight=False)
        self._live: Live | None = None
        self._title = title
        self._news: deque[str] = deque(maxlen=NEWS_SHOWN)
        self._flight: list[int] = []
        self._plain_s = float("-inf")
        self._notes = ""

    def __enter__(self) -> "Terminal":
        self.say(self._title)
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)
            self._live = None

    def say(self, words: str, style: str = "") -> None:
        """One line that stays."""
        self._console.print(Text(words, style=style), soft_wrap=not self._console.is_terminal)
        self._out.flush()

    def news(self, words: str) -> None:
        """Something was done to the platform."""
        self._news.append(words)
        if self._live is None:
            self.say(f"        {words}")

    def show(self, now: Now) -> None:
        """The present moment."""
        if now.counts is not None:
            self._flight.append(now.counts.held + now.counts.in_doubt + now.counts.unacknowledged)
        if self._live is not None:
            self._live.update(Group(*self._block(now)), refresh=True)
        elif clock.monotonic_s() - self._plain_s >= PLAIN_EVERY_S:
            self._plain_s = clock.monotonic_s()
            self.say(self._plain(now))

    def _plain(self, now: Now) -> str:
        counts = now.counts or Counts(0, 0, 0, 0, 0, 0)
        story = f"{now.story:%H:%M}" if now.story else "--:--"
        text = (
            f"{story}  {now.at_s:5.0f} s  offered {now.offered:,} · accepted {counts.accepted:,} · "
            f"completed {counts.completed:,} · returned {counts.returned:,} · "
            f"held {counts.held:,} · in doubt {counts.in_doubt:,}"
        )
        return text + (f" · {self._trouble(now)}" if self._trouble(now) else "")

    def _trouble(self, now: Now) -> str:
        parts = [f"{link} broken ({mode})" for link, mode in now.broken.items()]
        parts += [f"{name} dead" for name in now.dead]
        return ", ".join(parts)

    def _block(self, now: Now) -> list[Text]:
        counts = now.counts or Counts(0, 0, 0, 0, 0, 0)
        story = f"{now.story.day} {now.story:%B %Y, %H:%M} {now.zone}" if now.story else ""
        head = Text.assemble((story, "bold"), f"   {now.at_s:.0f} s of replay   ", (now.phase, "bold"))
        offered = Text(f"offered {now.offered:>7,}   accepted {counts.accepted:>7,}")
        if not now.known:
            offered.append("   (as last known)", STYLES["unknown"])
        ends = Text.assemble(
            (f"completed {counts.completed:>5,}", STYLES["completed"]),
            "   ",
            (f"returned {counts.returned:>7,}", STYLES["returned"]),
        )
        flight = Text.assemble(
            (f"held {counts.held:>10,}", STYLES["held"]),
            "   ",
            (f"in doubt {counts.in_doubt:>7,}", STYLES["unknown"]),
            "   ",
            (f"on the way back {counts.unacknowledged:,}", STYLES["returned"]),
        )
        trouble = self._trouble(now)
        state = Text(trouble, STYLES["broken"]) if trouble else Text("every link open, every process alive")
        lines = [Text(""), head, offered, ends, flight, Text(""), self._spark(), state]
        lines += [Text(f"  {words}", STYLES["unknown"]) for words in self._news]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return lines

    def _spark(self) -> Text:
        """In flight over the whole run so far, one column for each part of it."""
        series, width = self._flight, SPARK_WIDTH
        if len(series) > width:
            edges = [len(series) * place // width for place in range(width + 1)]
            series = [max(series[low:high] or [0]) for low, high in pairwise(edges)]
        most = max(series, default=0)
        bars = "".join(SPARKS[-(-value * (len(SPARKS) - 1) // most) if most else 0] for value in series)
        return Text.assemble("in flight ", (bars, STYLES["held"]), f" {self._flight[-1] if self._flight else 0:,}")

    # --- the end

    def verdict(self, record: Record, files: list[str]) -> None:
        """The verdict, the waits, and where the report is."""
        reckoning = record.reckoning
        figures = reckoning.figures
        agree = all(value == 0 for value in figures["books"].values())
        self.say("")
        width = self._console.width if self._console.is_terminal else PLAIN_WIDTH
        for line in verdict_lines(figures, width, agree=agree):
            self.say(line, "bold")
        self.say("")
        for line in waits_lines(record, self._console.width):
            self.say(line)
        self.say("")
        self.say(f"Longest wait: {duration(figures['longest_wait_s'])}, by the clock of that day "
                 f"{duration(figures['longest_wait_scaled_s'])}.")  # fmt: skip
        self.say(f"Deadlines missed: {figures['deadline_missed']}. In doubt past the deadline, resolved since: "
                 f"{figures['in_doubt_past_deadline']}.")  # fmt: skip
        self.say(f"Tracking pages looked at: {figures['tracking_checked']:,}; wrong: {figures['tracking_wrong']}.")
        for line in seen_lines(figures):
            self.say(line)
        self.say("")
        if reckoning.kept:
            self.say("✓ Every promise was kept.", "bold " + STYLES["completed"])
        else:
            self.say("▲ A promise was broken:", "bold " + STYLES["broken"])
            for line in broken_lines(reckoning.broken):
                self.say(line)
        self.say("")
        for file in files:
            self.say(file)


def verdict_lines(figures: dict[str, int], width: int, *, agree: bool) -> list[str]:
    """The verdict table: one line where it fits, else broken between figures."""
    parts = [
        f"offered {figures['offered']:,}",
        f"accepted {figures['accepted']:,}",
        f"completed {figures['completed']:,}",
        f"returned {figures['returned']:,}",
        f"unfinished {figures['unfinished']:,}",
        f"double {figures['double_credited']:,}",
        "books agree to the cent" if agree else "the books do not agree",
    ]
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]} · {part}"
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def seen_lines(figures: dict[str, Any]) -> list[str]:
    """What health made of it, where it was there; and how often the leash held."""
    lines = []
    if figures.get("leashed"):
        lines.append(f"Status inquiries sent away by the leash: {figures['leashed']:,}.")
    if "detected_after_s" not in figures:
        return lines
    detected, published = figures["detected_after_s"], figures["published_after_s"]
    seen = "Not every outage was seen" if detected is None else f"Seen after {detected:.1f} s"
    said = "not on the page" if published is None else f"on the page after {published:.1f} s"
    named = "named right" if figures["named_right"] else "named wrong"
    closed = "closed right" if figures["closed_right"] else "closed wrong"
    return [*lines, f"{seen}, {said}, {named}, {closed}. False incidents: {figures['false_incidents']}."]


def waits_lines(record: Record, width: int) -> list[str]:
    """A bar for each length of wait, with words, in both times."""
    bars = wait_bars(record)
    most = max((bar.count for bar in bars), default=0) or 1
    heads = [f"{wait_label(bar):>10}  {story_label(bar, record.scenario.scale):>16}" for bar in bars]
    room = max(10, min(40, width - 30 - 26))
    lines = ["How long they waited, and what that is by the clock of that day", ""]
    for head, bar in zip(heads, bars, strict=True):
        done = round(room * bar.completed / most)
        back = max(1 if bar.returned else 0, round(room * bar.returned / most))
        words = [f"{bar.completed:,} arrived"] if bar.completed else []
        words += [f"{bar.returned:,} back"] if bar.returned else []
        lines.append(f"{head}  {'█' * max(done, 1 if bar.completed else 0)}{'░' * back} {', '.join(words)}".rstrip())
    return lines


def broken_lines(broken: list[Broken]) -> list[str]:
    """Each broken promise with its transfer."""
    lines = [f"  {item.rule}: {item.uetr or 'all'}: {item.detail}" for item in broken[:BROKEN_SHOWN]]
    if len(broken) > BROKEN_SHOWN:
        lines.append(f"  and {len(broken) - BROKEN_SHOWN:,} more; report.html and transfers.csv name them")
    return lines
