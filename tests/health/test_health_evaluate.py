"""`hakika health evaluate`: golden files, every form of file that is read, and every refusal with its status."""

import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hakika import cli
from hakika.clock import seeded
from hakika.health.evaluate import judged
from hakika.health.series_file import Columns, FileRefused, parse

GOLDEN = Path(__file__).parent / "golden"
START_S = 1_767_225_600  # 2026-01-01T00:00:00Z


def evaluate(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(cli.__file__).parents[1]), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "hakika.cli", "health", "evaluate", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acquirer", ("--failure", "failed", "reversed", "--fit-until", "21h 00")),
        ("rates", ("--fit-until", "2026-03-15")),
        ("reports", ("--group", "event_id")),
    ],
)
def test_golden_files(name: str, words: "tuple[str, ...]") -> None:
    done = evaluate(str(GOLDEN / f"{name}.csv"), *words)
    assert done.returncode == 0, done.stderr
    expected = [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text().splitlines()]
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    assert all(list(line) == ["series", "at", "kind", "start_estimate", "score"] for line in expected)


def lines(fault: bool = True) -> list[tuple[int, float]]:
    """Four days of a rate by the quarter of an hour, the last hours of the third day nearly lost."""
    chance = seeded(4)
    found = []
    for number in range(4 * 96):
        at_s = START_S + 900 * number
        value = 1000 * (1.2 - 0.4 * math.cos(2 * math.pi * number / 96)) * chance.gauss(1, 0.03)
        found.append((at_s, round(value * (0.1 if fault and 340 <= number < 348 else 1), 3)))
    return found


def iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def alarms(
    text: str, columns: Columns | None = None, until_s: float | None = START_S + 3 * 86_400
) -> list[tuple[float, str, float]]:
    """Row time (unix s), kind and start of what a text makes the detector say."""
    file = parse(text, columns or Columns(), "x")
    return [(found.row_s, found.alarm.kind, found.alarm.start_s) for found in judged(file, until_s)]


PLAIN = "time,value\n" + "".join(f"{at_s},{value}\n" for at_s, value in lines())
EXPECTED = [(START_S + 340 * 900.0, "drop", START_S + 340 * 900.0)]
FORMS = {
    "milliseconds": "time,value\n" + "".join(f"{at_s * 1000},{value}\n" for at_s, value in lines()),
    "floats": "TIMESTAMP,Rate\n" + "".join(f"{at_s}.0,{value}\n" for at_s, value in lines()),
    "iso": "ds,y\n" + "".join(f"{iso(at_s)},{value}\n" for at_s, value in lines()),
    "iso without an offset": "Date,Count\n" + "".join(f"{iso(at_s)[:-1]},{value}\n" for at_s, value in lines()),
    "a space in it": "TimeStamp,Value\n"
    + "".join(f"{iso(at_s)[:-1].replace('T', ' ')},{value}\n" for at_s, value in lines()),
    "quoted": '"TimeStamp","Value","Label"\n' + "".join(f'"{iso(at_s)}","{value}","0"\n' for at_s, value in lines()),
    "semicolons": "time;value\n" + "".join(f"{at_s};{value}\n" for at_s, value in lines()),
    "carriage returns": PLAIN.replace("\n", "\r\n"),
    "backwards": "time,value\n" + "".join(f"{at_s},{value}\n" for at_s, value in reversed(lines())),
    "doubled": "time,value\n" + "".join(f"{at_s},{value}\n" * 2 for at_s, value in lines()),
    "a column of another name": "when,load\n" + "".join(f"{at_s},{value}\n" for at_s, value in lines()),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_measurements_says_the_same(form: str) -> None:
    columns = Columns("when", "load") if form == "a column of another name" else Columns()
    assert alarms(PLAIN) == EXPECTED
    assert alarms(FORMS[form], columns) == EXPECTED


def test_a_byte_order_mark_is_no_column(tmp_path: Path) -> None:
    path = tmp_path / "marked.csv"
    path.write_text(FORMS["iso"], encoding="utf-8-sig")
    done = evaluate(str(path), "--fit-until", iso(START_S + 3 * 86_400))
    assert done.returncode == 0
    assert [json.loads(line)["at"] for line in done.stdout.splitlines()] == [iso(START_S + 340 * 900)]


def test_quiet_files_say_nothing() -> None:
    quiet = "time,value\n" + "".join(f"{at_s},{value}\n" for at_s, value in lines(fault=False))
    assert alarms(quiet) == []
    assert alarms(quiet, until_s=None) == []


def test_a_few_missing_rows_are_nothing_and_many_are_a_silence() -> None:
    rows = lines(fault=False)
    few = "time,value\n" + "".join(f"{at_s},{value}\n" for number, (at_s, value) in enumerate(rows) if number % 50)
    assert alarms(few) == []
    hole = "time,value\n" + "".join(
        f"{at_s},{value}\n" for number, (at_s, value) in enumerate(rows) if not 320 <= number < 340
    )
    found = alarms(hole)
    assert [kind for _, kind, _ in found] == ["silence"]


def test_far_parts_of_one_group_are_judged_apart() -> None:
    """Two recordings a month apart: the month between is no silence and no outage."""
    rows = lines()[200:]
    both = [*rows, *((at_s + 30 * 86_400, value) for at_s, value in rows)]
    found = alarms("time,value\n" + "".join(f"{at_s},{value}\n" for at_s, value in both), until_s=None)
    assert [kind for _, kind, _ in found] == ["drop", "drop"]


def acquirer(*, minutes: int = 600, spike: str = "failed") -> str:
    """Counts by status and minute; from minute 500 to 510 one status rises."""
    chance = seeded(8)
    text = "Time,STATUS,Count\n"
    for number in range(minutes):
        counts = {"Approved": 90 + chance.randrange(20), "Denied": 4 + chance.randrange(4), "Failed": number % 9 == 0}
        if 500 <= number < 510:
            counts[spike.title()] += 25
        for status, count in counts.items():
            if count:
                text += f"{START_S + 60 * number},{status},{int(count)}\n"
    return text


def test_statuses_are_failures_only_where_they_are_named() -> None:
    until_s = START_S + 60.0 * 400
    kinds = [kind for _, kind, _ in alarms(acquirer(), Columns(failures=("failed",)), until_s)]
    assert kinds in (["failures"], ["failures:failed"])
    assert alarms(acquirer(spike="denied"), Columns(failures=("failed",)), until_s) == []
    both = Columns(failures=("FAILED", "denied"))
    at_s, _, _ = alarms(acquirer(spike="denied"), both, until_s)[0]
    assert 0 <= at_s - (START_S + 500 * 60) <= 300


def test_minutes_without_a_row_are_minutes_without_a_transfer() -> None:
    header, *rows = acquirer().splitlines(keepends=True)
    kept = [row for row in rows if int(row.partition(",")[0]) < START_S + 60 * 550]
    text = header + "".join(kept) + f"{START_S + 60 * 599},approved,95\n"
    kinds = [kind for _, kind, _ in alarms(text, Columns(failures=("failed",)), START_S + 60.0 * 400)]
    assert kinds[-1] == "drop"


def test_clock_times_pass_midnight() -> None:
    text = "time,status,count\n" + "".join(
        f"{number // 60 % 24:02d}h {number % 60:02d},{status},10\n"
        for number in range(23 * 60, 25 * 60)
        for status in ("approved", "failed")
    )
    file = parse(text, Columns(), "x")
    assert [seen.at_s for seen in file.series[0].parts[0]] == [60.0 * number for number in range(23 * 60, 25 * 60)]
    assert file.times.write(24 * 3600.0) == "00h 00"


REFUSED = {
    "": "empty",
    "a,b\n1,2\n": "no column is a time",
    "time,first,second\n1,2,3\n": "--value",
    "time,value\n": "no row",
    "time,value\n2026-01-01,1\nyesterday,2\n": "row 3, column time: 'yesterday'",
    "time,value\n03/04/2018,1\n": "neither ISO 8601 nor unix time",
    "time,value\n1,1\n2,many\n": "row 3, column value: 'many' is no number",
    "time,value\n1,-5\n": "not below zero",
    "time,value\n1,inf\n": "finite",
    "time,value\n1\n": "row 2: 1 columns",
    "time,status,count\n1,failed,1.5\n": "whole",
    "time,status,count\n1,ok,3\n": "--failure",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_file_that_cannot_be_judged_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(FileRefused) as refused:
        parse(text, Columns(), "x")
    assert REFUSED[text] in str(refused.value)


def test_columns_and_statuses_that_are_not_there_are_named() -> None:
    for columns, said in (
        (Columns(group=("bank",)), "no column is named bank (columns: time, value)"),
        (Columns(value="load"), "no column is named load"),
        (Columns(failures=("failed",)), "no column is named status"),
    ):
        with pytest.raises(FileRefused) as refused:
            parse("time,value\n1,2\n", columns, "x")
        assert said in str(refused.value)
    with pytest.raises(FileRefused) as refused:
        parse("time,status,count\n1,ok,2\n", Columns(failures=("broken",)), "x")
    assert "statuses: ok" in str(refused.value)


def test_exit_statuses(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("time,value\n1,x\n")
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"time,value\n1,\xe9\n")
    for words, status, said in (
        ((str(bad),), 1, "row 2"),
        ((str(latin),), 1, "UTF-8"),
        ((str(tmp_path / "nowhere.csv"),), 1, "No such file"),
        ((str(tmp_path),), 1, "Is a directory"),
        ((str(bad), "--fit-until", "soon"), 2, "--fit-until"),
        ((), 2, ""),
        ((str(bad), "--colour", "red"), 2, ""),
    ):
        done = evaluate(*words)
        assert done.returncode == status, (words, done)
        assert said in done.stderr
        assert done.stdout == "" or status == 2
        assert "Traceback" not in done.stderr + done.stdout


def test_what_was_assumed_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(FORMS["iso"])
    done = evaluate(str(path))
    assert f"the first half, before {iso(START_S + 2 * 86_400)}, is taken as quiet" in done.stderr
    found = len(done.stdout.splitlines())
    assert f"{found or 'no'} alarm{'' if found == 1 else 's'} in 1 series\n" in done.stderr  # nothing found is said too
    path.write_text(acquirer(minutes=30))
    done = evaluate(str(path))
    assert "taken as technical failures: failed" in done.stderr
    assert "learnt as it goes" in done.stderr


def test_an_end_of_quiet_data_outside_the_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(FORMS["iso"])
    after = evaluate(str(path), "--fit-until", iso(START_S + 9 * 86_400))
    assert (after.returncode, after.stdout) == (0, "")
    assert "nothing is judged" in after.stderr
    before = evaluate(str(path), "--fit-until", str(START_S))
    assert "learnt as it goes" in before.stderr


def test_help_has_one_example() -> None:
    text = cli.health["evaluate"].default_command.__doc__ or ""
    assert text.count("Example: `hakika health evaluate") == 1
