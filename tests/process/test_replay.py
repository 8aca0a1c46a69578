"""Small outages through the whole machinery: a promise kept, and one that no platform could keep, named.

The second is the control of the first: the gateway is dead while promises fall due, so the verdict has to be
broken. Both run real processes, sockets and databases for a few seconds.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hakika

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

SCENARIO = """
name = "small"
title = "A small outage"
place = "Nairobi"
starts = 2023-07-27T12:00:00+03:00
seed = 11
scale = 1200
demand_until_s = 14
drain_s = 60
outage = [2.0, 14.0]
wallets = 20
tracking_per_s = 20.0
amounts = { least = 50, most = 900 }
creditors = { unknown = 0.02, blocked = 0.02, closed = 0.02 }

[[banks]]
id = "bank-a"
name = "Mlima Bank"
style = "asks_first"
rule_pack = "house-8h"

[[banks]]
id = "bank-b"
name = "Rift Trust Bank"
style = "sends_throughout"
rule_pack = "house-4h" # 12 s here

[[phases]]
name = "quiet"
title = "Everything works"
from_s = 0

[[phases]]
name = "outage"
title = "Nothing reaches the core"
from_s = 2

[[phases]]
name = "healed"
title = "The link is back"
from_s = 14

[[events]]
at_s = 0
noise = "weather"
note = "weather"

[noise.weather.request]
delay = 0.05
delay_ms = [5, 50]
double = 0.05

[[events]]
at_s = 2
break = "gateway-core"
how = "deaf"
note = "answers are lost"

[[events]]
at_s = 3
break = "gateway-core"
note = "everything is lost"

[[events]]
at_s = 5
kill = "{victim}"
dead_s = {dead_s}
note = "a process is killed"

[[events]]
at_s = 14
mend = "all"
note = "mended"

[[demand]]
bank = "bank-a"
per_s = [[0, 8], [14, 8]]

[[demand]]
bank = "bank-b"
per_s = [[0, 12], [14, 12]]
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="hakika-replay-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def replay(folder: Path, *, victim: str, dead_s: float) -> "subprocess.CompletedProcess[str]":
    file = folder / "small.toml"
    file.write_text(SCENARIO.replace("{victim}", victim).replace("{dead_s}", str(dead_s)))
    command = [sys.executable, "-m", "hakika.cli", "replay", str(file), "--state", str(folder / "state")]
    command += ["--report", str(folder / "copy" / "report.json")]
    environment = {**os.environ, "PYTHONPATH": str(Path(hakika.__file__).parents[1])}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)


def test_a_kept_promise_is_status_0(folder: Path) -> None:
    done = replay(folder, victim="core", dead_s=3)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((folder / "state" / "report.json").read_text())
    assert json.loads((folder / "copy" / "report.json").read_text()) == figures
    assert figures["verdict"] == "kept"
    assert figures["accepted"] == figures["completed"] + figures["returned"] > 100
    assert figures["returned"] > 5 and figures["completed"] > 50
    assert figures["unfinished"] == figures["double_credited"] == figures["tracking_wrong"] == 0
    assert figures["tracking_checked"] > 100
    assert figures["books"] == dict.fromkeys(figures["books"], 0)
    assert "unfinished 0 · double 0 · books agree to the cent" in done.stdout
    html = (folder / "state" / "report.html").read_text()
    assert "Every promise was kept." in html and "outage, 12:40 to 16:40" in html


def test_a_broken_promise_is_status_1_and_names_the_transfers(folder: Path) -> None:
    done = replay(folder, victim="gateway", dead_s=14)  # dead from 5 to 19 s: promises of the first seconds fall due
    figures = json.loads((folder / "state" / "report.json").read_text())
    assert figures["deadline_missed"] > 0, figures
    assert figures["verdict"] == "broken"
    assert done.returncode == 1
    assert "A promise was broken" in done.stdout
    rows = (folder / "state" / "transfers.csv").read_text().splitlines()[1:]
    known = {row.split(",")[0] for row in rows}
    named = {word for line in done.stdout.splitlines() if line.startswith("  deadline: ") for word in [line.split()[1]]}
    assert named and {name.rstrip(":") for name in named} <= known
    assert figures["unfinished"] == 0 and figures["double_credited"] == 0  # late, and still exactly once
