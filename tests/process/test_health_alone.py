"""Health with everything else dead: it sees, opens and publishes, is killed itself, and closes when all is back."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from platform_harness import Platform, wait_until

from hakika.simulator.control import ask
from hakika.simulator.page_reader import openings

pytestmark = [pytest.mark.process, pytest.mark.timeout(420)]

VICTIMS = ("gateway", "gateway-postgres", "core", "core-postgres")
SILENT_S = 90.0  # a gateway that says nothing is seen within
PUBLISHED_S = 10.0  # and said within
CLOSED_S = 150.0
SCALE = 15.0  # the closing hold is 20 s
EVENTS = "SELECT incident::text, number, kind, at_ms FROM incident_event ORDER BY incident, number"
Event = tuple[str, int, str, int]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    folder = Path(tempfile.mkdtemp(prefix="hakika-alone-"))
    made = Platform(folder, scale=SCALE, probe_every_s=4.0)
    made.start()
    made.wait_for_health()
    yield made
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


def told(platform: Platform, **request: Any) -> dict[str, Any]:
    return asyncio.run(ask(platform.folder / "up", request))


def events(platform: Platform) -> list[Event]:
    return [(row[0], row[1], row[2], row[3]) for row in platform.rows("health", EVENTS)]


def shown(platform: Platform) -> set[str]:
    """The incidents that the status page tells of, open or over."""
    file = Path(platform.ready["status_page_folder"]) / "current" / "status.json"
    return set(openings(json.loads(file.read_text())))


def judged_ms(platform: Platform) -> int:
    """The last tick of the judge."""
    rows = platform.rows("health", "SELECT upto_ms FROM detector_state WHERE series = 'judge'")
    return int(rows[0][0]) if rows else 0


def all_green(platform: Platform) -> bool:
    query = "SELECT count(DISTINCT (vantage, component)) FROM probe_result WHERE ok"
    return bool(platform.rows("health", query)[0][0] >= 12)


def test_with_all_else_dead_it_sees_says_survives_and_closes(platform: Platform) -> None:
    wait_until(lambda: all_green(platform), within_s=90, every_s=0.5)
    assert events(platform) == []
    dead_ms = int(time.time() * 1000)
    for victim in VICTIMS:
        assert told(platform, do="kill", process=victim, stay_dead=True)["ok"]

    wait_until(lambda: events(platform) != [], within_s=SILENT_S, every_s=0.5)
    incident, number, kind, at_ms = events(platform)[0]
    assert (number, kind) == (1, "opened")
    assert at_ms - dead_ms <= 1000 * SILENT_S
    wait_until(lambda: incident.replace("-", "") in shown(platform), within_s=PUBLISHED_S)

    before = events(platform)
    os.kill(told(platform, do="links")["pids"]["health"], signal.SIGKILL)
    killed_ms = int(time.time() * 1000)
    wait_until(lambda: judged_ms(platform) > killed_ms, within_s=60, every_s=0.5)
    after = events(platform)
    assert set(before) <= set(after)  # nothing is lost
    opened = [one[0] for one in after if one[2] == "opened"]
    assert len(opened) == len(set(opened))  # nothing is opened again
    assert len(platform.rows("health", "SELECT cause FROM open_cause")) >= 1

    for victim in reversed(VICTIMS):
        told(platform, do="revive", process=victim)
    wait_until(lambda: platform.rows("health", "SELECT FROM open_cause") == [], within_s=CLOSED_S, every_s=1.0)
    for story in {one[0] for one in events(platform)}:
        numbers = [one[1] for one in events(platform) if one[0] == story]
        assert numbers == list(range(1, len(numbers) + 1))
    assert {one[2] for one in events(platform)} >= {"opened", "closed"}
