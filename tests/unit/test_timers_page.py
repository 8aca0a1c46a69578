"""The page of timers: each row is a policy or a machine timer of a file that there is; health's are as in the code."""

import re
from pathlib import Path

import pytest

from hakika.health import announcer, assessing, deciding, judge, operating, publishing, recent, refitting, shown
from hakika.health import statements as told
from hakika.health.assessing import Detectors
from hakika.wire import statements

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "timers.md").read_text("utf-8")
ROWS = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in PAGE.splitlines() if "| `" in line]
PERIODS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0}
WHOLE, SCALED = deciding.Policy(), deciding.Policy.scaled(60)
# A row's first words, and the seconds that the code has, in the order of the page.
HEALTH: dict[str, tuple[float, ...]] = {
    "incident: a cause that comes back": (WHOLE.relapse_ms / 1000,),
    "incident: the count of held": (WHOLE.say_again_ms / 1000,),
    "incident: promise": (WHOLE.promise_ms / 1000,),
    "close rule: the hold": (recent.HOLD_S,),
    "statement: steps": tuple(from_s for from_s, _ in told.RAMP),
    "statement: leash": (told.LEASH.first_after_s, told.LEASH.within_s),
    "judge: between two ticks": (judge.TICK_LEAST_S, judge.TICK_S),
    "judge: reads within": (judge.READ_S, judge.COMMIT_S, judge.SETTLE_PAUSE_S),
    "judge: late evidence": (judge.LATE_MS / 1000, judge.PROBES_LATE_MS / 1000),
    "judge: width": (judge.REPORT_WIDTH_MS / 1000,),
    "judge: waits": (assessing.WAIT_MS / 1000,),
    "incident: a cause named": (deciding.IDENTIFY_MS / 1000,),
    "incident: conditions": (deciding.MEASURE_EVERY_MS / 1000,),
    "incident: a relapse is seen": (deciding.SEEN_LATER_MS / 1000,),
    "incident: what is still broken": (deciding.OVERRUN_WATCH_MS / 1000,),
    "works again": (recent.MINUTE_S,),
    "an interval counts as fresh": (recent.FRESH_S,),
    "a vantage tells": (recent.PROBE_STALE_S, recent.PROBE_KNOWN_S),
    "reports are shown": (recent.REPORTS_TOLD_S,),
    "an assessment says nothing": (shown.STALE_MS / 1000,),
    "page: written": (publishing.EVERY_S, publishing.AGAIN_S, publishing.READ_S),
    "page: looks": (publishing.LOOK_S,),
    "page: share": (publishing.SHARE_BEFORE_MS / 1000, publishing.SHARE_MS_MAX / 1000),
    "page: a promise": (publishing.RETURNED_FOR_PROMISE_MS / 1000,),
    "statement: facts": (announcer.LOOK_S, announcer.STORE_S),
    "statement: heartbeat": (statements.HEARTBEAT_MS / 1000, statements.EXPIRES_MS / 1000),
    "statement: pushed again": announcer.RETRY_S[1:],
    "operator's form": (operating.ACT_S, operating.PAUSE_S),
    "detectors: fitted": (refitting.FIRST_S, refitting.SOON_S, refitting.EVERY_S),
}


def test_every_row_is_of_a_kind_and_of_a_file() -> None:
    assert len(ROWS) > 60
    for _, kind, _, where in ROWS:
        assert kind in ("policy", "machine")
        for path in re.findall(r"`([^`]+)`", where):
            folder = ROOT if path.startswith("outages/") else ROOT / "src" / "hakika"
            assert list(folder.glob(path)) or (folder / path).is_dir(), path


@pytest.mark.parametrize("words", HEALTH)
def test_the_timers_of_incidents_are_those_of_the_code(words: str) -> None:
    ((_, _, value, _),) = [row for row in ROWS if row[0].startswith(words)]
    found = [float(number) * PERIODS[unit] for number, unit in re.findall(r"([\d.]+) (ms|s|min|h|days)\b", value)]
    assert found == pytest.approx(HEALTH[words])


def test_policies_are_divided_by_the_scale_and_machine_timers_are_not() -> None:
    assert (SCALED.relapse_ms, SCALED.say_again_ms, SCALED.promise_ms) == (30_000, 15_000, 240_000)
    assert Detectors((), scale=10.0)._hold_s == 30.0
    assert Detectors((), scale=60.0)._hold_s == recent.HOLD_MIN_S == 20.0
    policies = {row[0] for row in ROWS if row[1] == "policy"}
    for words in ("incident: a cause that comes back", "incident: the count", "incident: promise", "close rule"):
        assert any(row.startswith(words) for row in policies)
    for words in ("judge:", "page:", "incident: a cause named", "incident: conditions", "statement: heartbeat"):
        assert not any(row.startswith(words) for row in policies)
