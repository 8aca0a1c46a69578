"""Rows of a speed run: medians of ratios, targets, what is kept, and what is written into the page."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from echo_server import EchoServer

from bench.speed.cpu import Meter, mean, told
from bench.speed.figures import Repeat, Row, Target, keep, quantile, repeat
from bench.speed.loop import LoadFailed, answer, closed_loop, post
from bench.speed.memory import owned_bytes
from bench.speed.page import BEGIN, END, KEPT, PAGE, PICTURE, fragment, write_page
from bench.speed.picture import picture
from bench.speed.picture_hour import course, shares
from bench.speed.table import table

REPEATS = (Repeat(900, 100, 1, 5, 9), Repeat(1000, 200, 2, 6, 8), Repeat(700, 100, 3, 7, 7))
ROW = Row("L9", "some <work>", "entries/s", REPEATS, True, Target(ratio=6.0, p99_ms=10.0), {"other": 250.0})
MACHINE = {"cores": 2, "memory_gib": 8, "load_before": 0.1, "fsync_us": 90, "python": "3.11.7"}


def test_a_ratio_is_the_median_of_the_ratios_and_not_of_the_medians() -> None:
    assert (ROW.value, ROW.p) == (900, 100)
    assert ROW.ratios == (9.0, 5.0, 7.0)
    assert ROW.ratio == 7.0
    assert (ROW.p50_ms, ROW.p99_ms, ROW.p999_ms) == (2, 6, 8)


@pytest.mark.parametrize(
    ("changed", "met"),
    [
        ({}, True),
        ({"books_ok": False}, False),
        ({"target": Target(ratio=7.1)}, False),
        ({"target": Target(p99_ms=5.9)}, False),
        ({"target": Target(most=899)}, False),
        ({"target": Target(most=900)}, True),
        ({"target": Target()}, True),
    ],
)
def test_a_target_is_met_when_every_part_of_it_is_and_the_books_are_right(
    changed: dict[str, object], met: bool
) -> None:
    assert replace(ROW, **changed).met is met  # type: ignore[arg-type]


def test_quantiles_are_values_that_were_measured() -> None:
    ordered = [float(n) for n in range(1, 1001)]
    assert [quantile(ordered, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500, 990, 999, 1000]
    assert quantile([3.0], 0.999) == 3.0
    assert quantile([], 0.5) == 0.0
    assert repeat(10, 2.0, 100.0, [0.003, 0.001, 0.002]) == Repeat(5.0, 100.0, 2.0, 3.0, 3.0)


def test_a_later_run_replaces_its_own_rows_and_keeps_the_others(tmp_path: Path) -> None:
    file = tmp_path / "bench" / "latest.json"
    keep([ROW, replace(ROW, id="G9")], MACHINE, file)
    keep([replace(ROW, id="G9", books_ok=False)], {**MACHINE, "cores": 4}, file)
    rows = {row["id"]: row for row in json.loads(file.read_text())["rows"]}
    assert set(rows) == {"L9", "G9"}
    assert (rows["L9"]["books_ok"], rows["L9"]["machine"]["cores"]) == (True, 2)
    assert (rows["G9"]["books_ok"], rows["G9"]["machine"]["cores"], rows["G9"]["met"]) == (False, 4, False)
    named = {"id", "value", "p", "ratio", "peers", "p50_ms", "p99_ms", "books_ok"}
    assert named <= rows["L9"].keys()


def test_the_page_gets_the_rows_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / PAGE
    page.parent.mkdir(parents=True)
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    latest = tmp_path / "latest.json"
    big = replace(ROW, id="M9", target=Target(most=10.0))
    keep([replace(ROW, extra={"cpu_ms_core": 0.5}), big], MACHINE, latest)
    write_page(latest, tmp_path)
    written = page.read_text()
    assert written.startswith("before\n") and written.endswith("after\n") and "old" not in written
    assert (
        "| L9 | some <work> | 900 entries/s | 7.00 | 5.00 to 9.00 | 6, p99 10 ms: met | 2.0 | 6.0 | 8.0 | 1 | right |"
        in written
    )
    assert "10 entries/s, **missed**" in written
    assert "| L9 | other | 250 | 3.6 |" in written
    assert "| L9 | 0.500 | 0.500 |" in written
    drawn = (tmp_path / PICTURE).read_text()
    assert "some &lt;work&gt;" in drawn and "M9" not in drawn
    latest.unlink()
    keep([replace(ROW, id="G9"), replace(big, books_ok=False)], MACHINE, latest)
    write_page(latest, tmp_path)
    again = page.read_text()
    assert "| L9 | some <work> | 900" in again and "| G9 | some <work> | 900" in again
    kept = {row["id"]: row for row in json.loads((tmp_path / KEPT).read_text())["rows"]}
    assert set(kept) == {"L9", "G9", "M9"} and len(kept["L9"]["repeats"]) == 3 and not kept["M9"]["books_ok"]
    page.write_text("no marks")
    with pytest.raises(ValueError, match="lost its marks"):
        write_page(latest, tmp_path)


def test_the_page_shows_the_course_of_an_hour(tmp_path: Path) -> None:
    page = tmp_path / PAGE
    page.parent.mkdir(parents=True)
    page.write_text(f"{BEGIN}\n{END}")
    latest = tmp_path / "latest.json"
    told: dict[str, float | str] = {
        "first_sixth_per_s": 1000,
        "last_sixth_per_s": 970,
        "unanswered": 0,
        "left_out": 2,
        "sent_again": 3,
    }
    told |= {"memory_sixth_mb": 61, "memory_last_mb": 62, "memory_most_mb": 64}
    killed: dict[str, float | str] = {
        "kills": 9,
        "kills_core": 2,
        "kills_gateway": 3,
        "kills_postgres": 4,
        "back_s_most": 6,
        "back_late": 1,
    }
    keep([replace(ROW, id="KILL", extra=told | killed), replace(ROW, id="H1", extra=told)], MACHINE, latest)
    curve = {"by_second": [100] * 600 + [50] * 600, "memory_bytes": [2**26] * 120, "watch_s": 10.0, "killed": []}
    for name in ("h1", "kill"):
        (tmp_path / f"{name}.json").write_text(json.dumps(curve))
    write_page(latest, tmp_path)
    hour, kill = (line for line in page.read_text().splitlines() if line.startswith(("H1:", "KILL:")))
    assert "pictures/performance-h1.svg" in page.read_text() and "kills" not in hour
    assert "1,000 transfers a second in the first sixth of the time, 970 in the last; 0 without an end" in hour
    assert "9 kills (2 of the core, 3 of a gateway, 4 of PostgreSQL): the rate was back 6 s" in kill
    drawn = (tmp_path / "docs/pictures/performance-h1.svg").read_text()
    assert "100 transfers a second at the beginning, 50 at the end; memory 64 to 64 MB" in drawn
    assert "20 min" in drawn and "kills" not in drawn
    (tmp_path / "h1.json").unlink()  # measured elsewhere: the picture stays
    write_page(latest, tmp_path)
    assert (tmp_path / "docs/pictures/performance-h1.svg").read_text() == drawn
    assert "pictures/performance-h1.svg" in page.read_text()
    assert "1 kills" in course({**curve, "killed": [[5.0, "core"]]}, "KILL")


@pytest.mark.parametrize(("values", "means"), [([1, 3, 5, 7], [2.0, 6.0]), ([4], [4.0]), ([], [0.0])])
def test_a_course_is_drawn_in_means(values: list[int], means: list[float]) -> None:
    assert shares(values, 2) == means


def test_wrong_books_and_missed_targets_are_said_in_words() -> None:
    wrong = replace(ROW, books_ok=False).as_json() | {"machine": MACHINE}
    assert "**wrong**" in fragment([wrong], []) and "**missed**" in fragment([wrong], [])
    assert "below 6" in picture([wrong])
    assert "an earlier run" not in fragment([wrong], [])
    assert "an earlier run: L9. Their" in fragment([wrong | {"rebuilt": "from a page"}], [])
    assert table([replace(ROW, books_ok=False)], quick=True) is not None


def test_an_answer_is_whole_when_its_length_says_so() -> None:
    head = b"HTTP/1.1 202 Accepted\r\ncontent-type: x\r\ncontent-length: 5\r\n\r\n"
    assert answer(b"HTTP/1.1 2") is None
    assert answer(head) is None
    assert answer(head + b"1234") is None
    assert answer(head + b"12345") == (202, b"12345")
    assert answer(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, b"")
    assert post("/x", b"ab", "A: b\r\n") == b"POST /x HTTP/1.1\r\nHost: bench\r\nA: b\r\nContent-Length: 2\r\n\r\nab"


def test_the_loop_counts_every_answer_once_and_ends_when_requests_do() -> None:
    with EchoServer() as server:
        requests = [post("/", str(number).encode(), "") for number in range(500)]
        outcome = closed_loop(
            server.address, iter(requests), connections=8, seconds=30.0, accept=lambda status, _: status == 200
        )
    assert sorted(server.bodies) == sorted(str(number).encode() for number in range(500))
    assert outcome.answered == 500
    assert len(outcome.waits_s) == outcome.count <= 500


def test_the_loop_fails_loudly_on_an_answer_that_it_does_not_take() -> None:
    with EchoServer(status=503) as server, pytest.raises(LoadFailed, match="answered 503"):
        closed_loop(
            server.address, iter([post("/", b"1", "")]), connections=1, seconds=5.0, accept=lambda s, _: s == 200
        )


def test_processor_time_and_memory_are_read_from_the_kernel() -> None:
    import os

    meter = Meter({"own": [os.getpid()], "gone": [None]}, None)
    sum(range(3_000_000))
    cost = meter.per_unit_ms(1)
    assert cost["own"] > 0 and cost["gone"] == 0
    assert mean([{"a": 1.0}, {"a": 3.0, "b": 4.0}]) == {"a": 2.0, "b": 2.0}
    assert told({"a": 1.0, "b": 2.0}) == "a 1.000, b 2.000; together 3.000"
    assert owned_bytes(os.getpid()) > 1_000_000
    assert owned_bytes(2**22 + 1) == 0
