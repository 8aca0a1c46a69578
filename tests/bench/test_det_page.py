"""Table, picture and page say what the result says, misses included; the commands refuse what does not exist."""

import xml.etree.ElementTree as ET
from io import StringIO
from math import inf
from pathlib import Path

import pytest
from rich.console import Console

from bench.__main__ import main
from bench.det_baselines import BASELINES
from bench.det_bound import Bound
from bench.det_faults import HARMLESS, KINDS, STRATA
from bench.det_page import BEGIN, END, PAGE, fragment, replaced
from bench.det_picture import LEFT, RIGHT, WIDTH, picture, x_of
from bench.det_result import (
    HAKIKA,
    FalseIncident,
    HarmlessOutcome,
    QuietOutcome,
    Result,
    TrialOutcome,
    delay,
    named_right,
    read,
    write,
)
from bench.det_table import show
from bench.det_targets import targets

ROOT = Path(__file__).parents[2]
JUDGES = (HAKIKA, *(rule.name for rule in BASELINES))


def _trial(kind: str, stratum: str, seed: int, mine: float) -> TrialOutcome:
    delays = dict.fromkeys(JUDGES, inf) | {HAKIKA: mine, "five in a row": 44.0}
    right = "exact" if mine != inf else None
    return TrialOutcome(kind, stratum, 1, seed, "x", delays, delays, "x", "x", right, right)


def _result() -> Result:
    """Twenty trials a cell: found after 11 to 29 s, and one miss in each cell of fail-20."""
    result = Result(months=12, platforms=[9001], took_s=600)
    for kind in KINDS:
        for stratum in kind.strata:
            if kind.family == HARMLESS:
                continue
            for seed in range(20):
                missed = kind.name == "fail-20" and seed < 2
                result.trials.append(_trial(kind.name, stratum, seed, inf if missed else 10.0 + seed))
    result.harmless = [HarmlessOutcome("rumours", 1, 1, dict.fromkeys(JUDGES, False) | {"reports alone": True})]
    incident = FalseIncident(9001, 1.0, "bank-1", "failures")
    result.quiet = [QuietOutcome(9001, 12, dict.fromkeys(JUDGES, 24) | {HAKIKA: 3}, [incident])]
    return result


def _shown(result: Result) -> str:
    console = Console(width=80, record=True, file=StringIO())
    show(result, console)
    return console.export_text()


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write(_result(), tmp_path / "det.json")
    assert read(tmp_path / "det.json") == _result()


def test_a_miss_is_in_every_figure() -> None:
    cell = delay(_result().cell("fail-20", ">=60"), HAKIKA)
    assert (cell.median_s, cell.p95_s, cell.missed) == (21.0, inf, 0.1)
    assert delay(_result().cell("fail-50", ">=60"), HAKIKA).p95_s == 28.0


def test_only_what_was_found_can_be_named() -> None:
    assert named_right(_result().cell("fail-20", "<6")) == 1.0
    assert named_right([_trial("fail-20", "<6", 1, inf)]) is None


def test_targets_are_met_or_missed_by_their_own_figure() -> None:
    found = {target.words: target for target in targets(_result())}
    assert found["50 % or more fail, 60 tx/min or more"].far_met
    assert not found["20 % fail, >=60 tx/min"].met
    quiet = found["false public incidents of the platform"]
    assert quiet.figure == pytest.approx(0.25)
    assert quiet.met
    assert "3 in 12" in quiet.said


def test_the_table_fits_80_columns_and_names_misses() -> None:
    text = _shown(_result())
    assert max(map(len, text.splitlines())) <= 80
    for kind in KINDS:
        if kind.family != HARMLESS:
            assert kind.name in text
    assert "21/- 10%" in text
    assert "missed" in text


def test_the_picture_has_words_and_stays_inside() -> None:
    root = ET.fromstring(picture(_result()))
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title") is not None
    described = root.find(f"{space}desc")
    assert described is not None
    assert "half fail, busy corridor: 19 s, 28 s; five in a row: 44 s" in (described.text or "")
    for shape in root.iter(f"{space}rect"):
        left, width = float(shape.get("x", 0)), float(shape.get("width", 0))
        assert 0 <= left <= left + width <= WIDTH
    texts = [text.text for text in root.iter(f"{space}text")]
    assert "19 s, 28 s" in texts
    assert "1 min" in texts


def test_the_scale_is_bounded_at_both_ends() -> None:
    assert x_of(0) == LEFT
    assert x_of(inf) == WIDTH - RIGHT
    assert x_of(10) < x_of(60) < x_of(600)


def test_the_page_keeps_its_words_and_takes_new_figures() -> None:
    page = (ROOT / PAGE).read_text()
    best = [[Bound(stratum, 9.0, 33.0) for stratum in STRATA]] * 2
    made = replaced(page, fragment(_result(), best))
    assert made.partition(BEGIN)[0] == page.partition(BEGIN)[0]
    assert made.partition(END)[2] == page.partition(END)[2]
    assert "0.25 a month (3 in 12" in made
    assert "| under 6 | 9/33 | 9/33 | 21/- 10% |" in made
    assert replaced(made, fragment(_result(), best)) == made
    with pytest.raises(ValueError, match="marks"):
        replaced("no marks", "figures")


def test_an_unknown_benchmark_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["NOPE"]) == 2
    assert "There is no benchmark NOPE. There are: DET" in capsys.readouterr().err
