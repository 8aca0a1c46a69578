"""Three vantages against a whole platform: what they see by name when a link is broken, and while health is dead."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from platform_harness import Platform, wait_until

from hakika.simulator.control import ask

pytestmark = [pytest.mark.process, pytest.mark.timeout(420)]

VANTAGES = {"probe-1", "probe-2", "probe-3"}
COMPONENTS = {"corridor:bank-a", "corridor:bank-b", "channel:core-api", "channel:tracking"}
SEEN_S = 60.0  # a period of 4 s, a deadline of 20 s, and room on a busy machine
DEAD_S = 15.0
SINCE = "SELECT vantage, component, ok, detail FROM probe_result WHERE at_ms > %s"
SIDE_BY_SIDE = """
SELECT count(*) FROM probe_result a JOIN probe_result b ON b.vantage = a.vantage AND b.component = a.component
    AND b.at_ms > a.at_ms AND b.at_ms < a.at_ms + a.latency_ms
WHERE a.component = 'corridor:bank-a' AND a.at_ms > %s
"""  # no vantage does so by itself: it has been asked to look closer
Row = tuple[str, str, bool, str]


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    folder = Path(tempfile.mkdtemp(prefix="hakika-vantages-"))
    made = Platform(folder, probe_every_s=4.0)
    made.start()
    made.wait_for_health()
    yield made
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


def now_ms() -> int:
    return int(time.time() * 1000)


def since(platform: Platform, at_ms: int) -> list[Row]:
    return [(row[0], row[1], row[2], row[3]) for row in platform.rows("health", SINCE, at_ms)]


def latest(platform: Platform, at_ms: int, component: str) -> dict[str, tuple[bool, str]]:
    """The last result of each vantage about a component among those that began after an instant."""
    return {vantage: (ok, detail) for vantage, name, ok, detail in since(platform, at_ms) if name == component}


def until_all_say(platform: Platform, at_ms: int, component: str, *words: str) -> None:
    """Return when the last word of each vantage is one of `words`; the empty word is a success."""

    def agreed() -> bool:
        said = latest(platform, at_ms, component)
        return set(said) == VANTAGES and all(detail in words for _, detail in said.values())

    try:
        wait_until(agreed, within_s=SEEN_S, every_s=0.5)
    except AssertionError:
        raise AssertionError(f"{component}: not {words} but {latest(platform, at_ms, component)}") from None


def test_all_is_well_from_everywhere(platform: Platform) -> None:
    for component in COMPONENTS:
        until_all_say(platform, 0, component, "")
    assert all(ok for _, _, ok, _ in since(platform, 0))


def test_no_customer_is_counted(platform: Platform) -> None:
    """The cents move like money and are counted as nobody's."""
    first_ms = platform.rows("health", "SELECT min(at_ms) + 5000 FROM probe_result")[0][0]  # the demo is open by then
    assert platform.rows("gateway", "SELECT count(*) > 0 FROM transfer")[0][0]
    time.sleep(11)  # the interval in which the last cent arrived is closed and collected
    counted = platform.rows(
        "health",
        "SELECT coalesce(sum(arrived), 0), coalesce(sum(ended), 0) FROM signal_interval"
        " WHERE series = ANY(ARRAY['corridor:bank-a', 'corridor:bank-b', 'product:bank-to-wallet', 'role:core',"
        " 'channel:tracking']) OR series = 'channel:core-api' AND at_ms > %s",
        first_ms,
    )
    assert counted == [(0, 0)]
    assert platform.command("verify").returncode == 0


def test_a_banks_broken_link_is_seen_in_its_corridor_alone_and_a_silent_core_in_all(platform: Platform) -> None:
    assert platform.command("break", "bank-a-gateway").returncode == 0
    broken_ms = now_ms()
    until_all_say(platform, broken_ms, "corridor:bank-a", "not_accepted", "back_not_accepted", "still_waiting")
    wait_until(lambda: platform.rows("health", SIDE_BY_SIDE, broken_ms)[0][0] >= 3, within_s=SEEN_S)
    until_all_say(platform, broken_ms, "corridor:bank-b", "")
    until_all_say(platform, broken_ms, "channel:tracking", "")

    assert platform.command("mend", "bank-a-gateway").returncode == 0
    assert platform.command("break", "gateway-core").returncode == 0
    broken_ms = now_ms()
    words = ("still_waiting", "held", "in_doubt", "sending", "back_held", "back_in_doubt", "back_sending")
    for corridor in ("corridor:bank-a", "corridor:bank-b"):
        until_all_say(platform, broken_ms, corridor, *words)
    until_all_say(platform, broken_ms, "channel:tracking", "")
    until_all_say(platform, broken_ms, "channel:core-api", "")

    assert platform.command("mend", "gateway-core").returncode == 0
    for corridor in ("corridor:bank-a", "corridor:bank-b"):
        until_all_say(platform, now_ms(), corridor, "")


LATE = """
SELECT count(DISTINCT vantage) FROM probe_result WHERE at_ms > %s AND at_ms < %s AND received_ms > at_ms + 3000
"""


def test_what_was_seen_while_health_was_dead_is_told_later(platform: Platform) -> None:
    began_ms, ends = now_ms(), time.monotonic() + DEAD_S
    while time.monotonic() < ends:  # as often as the supervisor starts it
        if pid := pid_of_health(platform):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
    wait_until(lambda: _lives(platform.ready["health_url"]), within_s=60)
    back_ms = now_ms()
    wait_until(lambda: platform.rows("health", LATE, began_ms, back_ms)[0][0] == len(VANTAGES), within_s=30)
    refused = platform.rows("health", "SELECT sum(count) FROM refused_input WHERE kind <> 'probe_again'")
    assert refused == [(None,)]


def pid_of_health(platform: Platform) -> int | None:
    pid: int | None = asyncio.run(ask(platform.folder / "up", {"do": "links"}))["pids"].get("health")
    return pid


def _lives(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/livez", timeout=2, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False
