"""Every kind of fault that the other outages are made of, in one short replay on real processes, databases and links.

A slow database, a front that refuses everything, one that refuses a share, a flood of inquiries and planned work:
each leaves its trace in the report, and no promise is broken by any of them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hakika
from hakika.simulator.report import DETECTION_WORDS

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

SCENARIO = """
name = "every-fault"
title = "One of each"
place = "Nairobi"
starts = 2018-12-08T12:00:00+03:00
seed = 12
scale = 600
demand_until_s = 24
drain_s = 60
outage = [2.0, 8.0]
relapses = [[9.0, 12.0]]
wallets = 20
tracking_per_s = 10.0
amounts = { least = 50, most = 900 }

[[banks]]
id = "bank-a"
name = "Mlima Bank"
style = "asks_first"
rule_pack = "house-8h"

[[banks]]
id = "bank-b"
name = "Rift Trust Bank"
style = "sends_throughout"
rule_pack = "house-4h" # 24 s here

[[phases]]
name = "all"
title = "One after the other"
from_s = 0

[[maintenance]]
announced_s = 1
from_s = 9
to_s = 12
components = ["role:core"]
words = { en = "The front is cleaned." }

[noise.share.request]
busy = 0.4

[[events]]
at_s = 2
slow = "core-postgres"
times = 50
note = "the database is slow"

[[events]]
at_s = 8
mend = "core-postgres"
note = "and fast again"

[[events]]
at_s = 9
break = "gateway-core"
how = "busy"
note = "the front refuses everything"

[[events]]
at_s = 10
storm = "bank-b"
times = 50
note = "a flood of inquiries, while much is open"

[[events]]
at_s = 12
mend = "all"
note = "and takes everything again"

[[events]]
at_s = 13
noise = "share"
on = "gateway-core"
note = "four in ten are refused"

[[events]]
at_s = 20
storm = "bank-b"
times = 1
note = "which ends"

[[expected]]
from_s = 2
to_s = 8
components = ["role:core"]

[[demand]]
bank = "bank-a"
per_s = [[0, 8], [24, 8]]

[[demand]]
bank = "bank-b"
per_s = [[0, 16], [24, 16]]
"""


@dataclass(frozen=True)
class Played:
    """What one replay left."""

    status: int
    said: str
    figures: dict[str, Any]
    html: str

    def counted(self, link: str, what: str) -> int:
        """How many messages of a link something happened to, by the report's table."""
        row = re.search(rf"<td>{link}</td><td class=\"n\">[\d,]+</td><td>([^<]*)</td>", self.html)
        assert row, f"no row for {link}"
        found = re.search(rf"{what} ([\d,]+)", row.group(1))
        return int(found.group(1).replace(",", "")) if found else 0


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    folder = Path(tempfile.mkdtemp(prefix="hakika-replay-"))
    file = folder / "every-fault.toml"
    file.write_text(SCENARIO)
    command = [sys.executable, "-m", "hakika.cli", "replay", str(file), "--state", str(folder / "state")]
    environment = {**os.environ, "PYTHONPATH": str(Path(hakika.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    report = folder / "state" / "report.json"
    assert report.exists(), done.stdout + done.stderr
    yield Played(
        done.returncode,
        done.stdout + done.stderr,
        json.loads(report.read_text()),
        (folder / "state" / "report.html").read_text(),
    )
    shutil.rmtree(folder, ignore_errors=True)


def test_every_promise_is_kept_through_all_of_it(played: Played) -> None:
    figures = played.figures
    assert played.status == 0, played.said
    assert figures["verdict"] == "kept"
    assert figures["accepted"] == figures["completed"] + figures["returned"] > 200
    assert figures["unfinished"] == figures["double_credited"] == figures["tracking_wrong"] == 0
    assert figures["books"] == dict.fromkeys(figures["books"], 0)


def test_the_core_s_database_was_slow(played: Played) -> None:
    assert played.counted("core-postgres", "answer slow") > 10
    assert "core-postgres broken (slow)" in played.said


def test_the_front_refused_everything_and_then_a_share(played: Played) -> None:
    assert played.counted("gateway-core", "request busy") > 5


def test_the_leash_held_in_the_flood(played: Played) -> None:
    assert played.figures["leashed"] > 0  # how many is for the machine to say: a slow one asks less
    assert played.figures["leashed"] == played.counted("bank-b-gateway", "answer 429")
    assert f"sent away by the leash: {played.figures['leashed']:,}" in played.said


def test_planned_work_is_announced_and_both_bands_are_drawn(played: Played) -> None:
    assert "announced: The front is cleaned." in played.said
    assert "outage, 12:20 to 13:20" in played.html and "again, 13:30 to 14:00" in played.html


def test_what_health_saw_is_in_the_report_where_health_was_there(played: Played) -> None:
    there = set(DETECTION_WORDS) & set(played.figures)
    assert there in (set(), set(DETECTION_WORDS))
    assert ("What the watch saw" in played.html) == bool(there)
