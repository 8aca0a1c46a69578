"""The page publishes itself: at once after a commit, whoever committed it; recorded; never green without evidence."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from judge_kit import CORRIDORS, Fault, Platform
from screens_kit import BEGINS, PAGE, PRODUCT, names

from hakika import clock
from hakika.health.operating import Done, Form, Operating
from hakika.health.page.publisher import live_version
from hakika.health.publishing import EVERY_S, Publishing
from hakika.health.shown import STALE_MS
from hakika.health.telling import NEXT_BY_MS, incident_id
from hakika.store.embedded import RoleAccess

A = CORRIDORS[0]
WITHIN_S = 2.0  # of a judgement's commit
LOADED_S = 10.0  # on a machine that others use too


class Killed(Exception):
    """Where a process would have ended."""


def publisher(platform: Platform, folder: Path, crash_at: str = "") -> Publishing:
    """A publisher of its own, as a new process has it."""

    def crash_point(reached: str) -> None:
        if reached == crash_at:
            raise Killed

    return Publishing(platform.lanes, names(), PAGE, folder=folder, operator="DemoPesa", crash_point=crash_point)


@asynccontextmanager
async def platform_now(database: RoleAccess, lasts_s: int) -> AsyncIterator[Platform]:
    """Five quiet minutes and then corridor A failing until now."""
    seconds = BEGINS + lasts_s
    t0_ms = clock.now_ms() // 5000 * 5000 - 1000 * seconds
    platform = Platform(database, [Fault((A, PRODUCT), BEGINS, 10**6, share=0.8)], t0_ms=t0_ms)
    try:
        await platform.run_to(seconds)
        yield platform
    finally:
        await platform.close()


def status(folder: Path) -> dict[str, Any]:
    """The page as machines read it."""
    found: dict[str, Any] = json.loads((folder / "current" / "status.json").read_text())
    return found


def publications(database: RoleAccess) -> list[tuple[int, dict[str, int]]]:
    """What is recorded."""
    with psycopg.connect(database.reader_url) as reader:
        return reader.execute("SELECT at_ms, incidents FROM publication ORDER BY seq").fetchall()


@pytest.mark.parametrize("woken", [True, False], ids=["own judge", "another process"])
async def test_an_incident_is_public_within_seconds_of_its_commit(
    health_database: RoleAccess, tmp_path: Path, woken: bool
) -> None:
    async with platform_now(health_database, 0) as platform:
        publishing = publisher(platform, tmp_path)
        loops = [asyncio.create_task(loop) for loop in publishing.workers()]
        while publishing.published_ms is None:  # noqa: ASYNC110 - it has no event, and needs none
            await asyncio.sleep(0.05)
        assert status(tmp_path)["incidents"] == []
        while not await platform.incidents():
            await platform.run_to(platform.second + 5)
        began_s = clock.monotonic_s()
        if woken:
            publishing.wake.set()
        while not status(tmp_path)["incidents"]:
            assert clock.monotonic_s() - began_s < LOADED_S
            await asyncio.sleep(0.02)
        took_s = clock.monotonic_s() - began_s
        print(f"public after {took_s:.2f} s (target {WITHIN_S:g} s)")
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def test_what_is_shown_is_recorded_and_first_shown_stays(health_database: RoleAccess, tmp_path: Path) -> None:
    async with platform_now(health_database, 60) as platform:
        (incident,) = await platform.incidents()
        first = clock.now_ms()
        await publisher(platform, tmp_path).publish_once(first)
        await publisher(platform, tmp_path).publish_once(first + 5_000)  # another process
        (told,) = status(tmp_path)["incidents"]
        assert told["published"].startswith(clock_iso(first))
        id_ = f"inc_{incident.id.hex}"
        assert publications(health_database) == [
            (first, {id_: incident.number}), (first + 5_000, {id_: incident.number})
        ]  # fmt: skip


async def test_the_page_says_what_is_measured_and_nothing_more(health_database: RoleAccess, tmp_path: Path) -> None:
    async with platform_now(health_database, 60) as platform:
        now_ms = clock.now_ms()
        publishing = publisher(platform, tmp_path)
        await publishing.publish_once(now_ms)
        found = {one["id"]: one for one in status(tmp_path)["components"]}
        assert found["corridor-bank-a"]["state"] == "unavailable"
        assert found["corridor-bank-b"]["state"] == "available"
        assert set(found) == {
            "corridor-bank-a", "corridor-bank-b", "channel-bank-api", "channel-core-api", "channel-tracking",
            "product-bank-to-wallet",
        }  # fmt: skip
        assert "bank-b" not in (tmp_path / "current" / "en" / "index.html").read_text().replace("corridor-bank-b", "")
        (facts, other) = publishing.corridor_facts()
        assert (facts.condition, other.condition) == ("broken", "well")


async def test_a_merged_incident_leads_to_where_its_story_goes_on(health_database: RoleAccess, tmp_path: Path) -> None:
    async with platform_now(health_database, 60) as platform:
        (incident,) = await platform.incidents()
        desk = Operating(platform.lanes, lambda: None)
        words, now_ms = {"en": "Our engineers see it."}, clock.now_ms()
        merged = []
        for number, component in ((1, "channel:tracking"), (2, "channel:bank-api")):
            form = Form(UUID(int=number), "amina")
            one = await desk.open_by_hand([component], words, form, start_ms=now_ms, out=False)
            assert isinstance(one, Done)
            merged.append(one.incident)
        for number, (one_id, into) in enumerate(((merged[0], merged[1]), (merged[1], incident.id)), start=3):
            assert isinstance(await desk.merge(one_id, into, Form(UUID(int=number), "amina")), Done)
        await publisher(platform, tmp_path).publish_once(clock.now_ms())
        found = {one["id"]: one for one in status(tmp_path)["incidents"]}
        last = incident_id(incident.id)
        assert {one["merged_into"] for one in found.values()} == {None, last}
        for id_ in merged:
            told = found[incident_id(id_)]
            assert (told["stage"], told["merged_into"], told["money"]) == ("merged", last, None)
            assert told["updates"][-1]["text"]["template"] == "merged"
            for language in ("en", "sw", "fr"):
                page = (tmp_path / "current" / language / f"incident-{incident_id(id_)}.html").read_text()
                assert f'href="incident-{last}.html"' in page
        ((_, numbers),) = publications(health_database)
        assert numbers.keys() == found.keys()


async def test_without_our_database_the_page_grows_unknown(health_database: RoleAccess, tmp_path: Path) -> None:
    async with platform_now(health_database, 0) as platform:
        publishing = publisher(platform, tmp_path)
        now_ms = platform.now_ms
        await publishing.publish_once(now_ms)
        assert {one["state"] for one in status(tmp_path)["components"]} == {"available"}
        await platform.lanes.close()
        assert await publishing.publish_once(now_ms + STALE_MS + 5_000)
        assert {one["state"] for one in status(tmp_path)["components"]} == {"unknown"}


@pytest.mark.parametrize("point", ["before_publish", "after_publish", "after_publication"])
async def test_killed_at_any_step_the_page_is_whole(health_database: RoleAccess, tmp_path: Path, point: str) -> None:
    async with platform_now(health_database, 60) as platform:
        now_ms = clock.now_ms()
        await publisher(platform, tmp_path).publish_once(now_ms)
        before = live_version(tmp_path)
        with pytest.raises(Killed):
            await publisher(platform, tmp_path, point).publish_once(now_ms + 5_000)
        assert (live_version(tmp_path) == before) is (point == "before_publish")
        assert status(tmp_path)["incidents"]
        assert len(publications(health_database)) == (2 if point == "after_publication" else 1)
        await publisher(platform, tmp_path).publish_once(now_ms + 10_000)
        assert live_version(tmp_path) != before
        assert publications(health_database)[0][0] == now_ms


def test_the_next_page_comes_before_it_is_promised() -> None:
    assert EVERY_S * 1000 + 5_000 <= NEXT_BY_MS <= 60_000


def clock_iso(at_ms: int) -> str:
    """The instant as status.json begins it."""
    from hakika.health.page.words import iso

    return iso(at_ms)[:19]
