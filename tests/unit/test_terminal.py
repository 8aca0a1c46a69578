"""What a replay prints: plain lines where there is no terminal, a block that fits 80 columns where there is one."""

import io
from datetime import datetime
from pathlib import Path

import pytest
from replay_runs import Run, add, ordinary

from hakika.simulator.lives import Counts
from hakika.simulator.terminal import Now, Terminal, seen_lines, verdict_lines, waits_lines

NOW = Now(
    at_s=64.2,
    story=datetime.fromisoformat("2023-07-27T15:12:00+03:00"),
    phase="Nothing reaches the core",
    offered=5210,
    counts=Counts(4630, 1200, 38, 3300, 64, 12),
    known=True,
    broken={"gateway-core": "blackhole"},
    dead=["core"],
)


def test_plain_lines_without_a_terminal() -> None:
    out = io.StringIO()
    with Terminal("A title", out=out) as terminal:
        terminal.news("14:30 the gateway is killed")
        terminal.show(NOW)
        terminal.show(NOW)  # too soon for another line
    lines = out.getvalue().splitlines()
    assert lines[0] == "A title"
    assert "the gateway is killed" in lines[1]
    assert lines[2].startswith("15:12     64 s  offered 5,210 · accepted 4,630 · completed 1,200 · returned 38")
    assert lines[2].endswith("gateway-core broken (blackhole), core dead")
    assert len(lines) == 3
    assert "\x1b" not in out.getvalue()


def test_the_verdict_line_is_one_line_for_scripts() -> None:
    out = io.StringIO()
    record = ordinary().record()
    with Terminal("A title", out=out) as terminal:
        terminal.verdict(record, ["var/replay/report.html"])
    text = out.getvalue()
    figures = record.reckoning.figures
    assert (
        f"offered {figures['offered']:,} · accepted {figures['accepted']:,} · completed {figures['completed']:,} · "
        f"returned {figures['returned']:,} · unfinished 0 · double 0 · books agree to the cent"
    ) in text.splitlines()
    assert "Every promise was kept." in text
    assert text.rstrip().endswith("var/replay/report.html")


def test_the_verdict_and_the_waits_fit_80_columns() -> None:
    record = ordinary().record()
    figures = {**record.reckoning.figures, "offered": 14364, "accepted": 11104, "completed": 8110, "returned": 2994}
    for line in [*verdict_lines(figures, 80, agree=True), *waits_lines(record, 80)]:
        assert len(line) <= 80, line


def test_a_broken_promise_names_its_transfer() -> None:
    run = Run()
    life = add(run, 1, [])
    out = io.StringIO()
    with Terminal("A title", out=out) as terminal:
        terminal.verdict(run.record(), [])
    assert "A promise was broken" in out.getvalue()
    assert life.uetr in out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_block_fits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    out = io.StringIO()
    with Terminal("A title", out=out) as terminal:
        for held in range(200):
            counts = Counts(4630, 1200, 38, held * 20, 64, 12)
            terminal.show(Now(64.2, NOW.story, NOW.phase, 5210, counts, held % 2 == 0, NOW.broken, NOW.dead))
    last = out.getvalue()
    assert "in flight" in last
    assert "27 July 2023, 15:12 EAT" in last


def test_nothing_is_shown_before_anything_is_known() -> None:
    out = io.StringIO()
    with Terminal("A title", out=out) as terminal:
        terminal.show(Now())
    assert "offered 0" in out.getvalue()


def test_progress_needs_no_file(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file, Terminal("A title", out=file) as terminal:
        terminal.show(NOW)
    assert "accepted 4,630" in (tmp_path / "out").read_text()


def test_what_health_made_of_it_in_one_line() -> None:
    figures: dict[str, object] = {"leashed": 0}
    assert seen_lines(figures) == []
    assert seen_lines({"leashed": 1234}) == ["Status inquiries sent away by the leash: 1,234."]
    figures |= {"detected_after_s": 12.04, "published_after_s": 14.0, "named_right": True, "closed_right": False}
    assert seen_lines({**figures, "false_incidents": 2}) == [
        "Seen after 12.0 s, on the page after 14.0 s, named right, closed wrong. False incidents: 2."
    ]
    figures |= {"detected_after_s": None, "published_after_s": None, "false_incidents": 0}
    assert seen_lines(figures)[0].startswith("Not every outage was seen, not on the page")
