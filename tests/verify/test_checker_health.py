"""The recount of health's incidents: sound ones have no finding, breaches are found, without health there is a note."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from checker_books import lines
from checker_spoils_health import HEALTH, HealthSpoil, tell

from hakika.health.operating import Done, Form, Operating
from hakika.simulator.checker import Targets, VerifyResult, as_json, render, verify
from hakika.store.embedded import EmbeddedPostgres, RoleAccess

sys.path.append(str(Path(__file__).parents[1] / "store"))

from health_stories import Stories
from judge_kit import CORRIDORS, Fault, Platform

NOWHERE = "postgresql://hakika:secret@127.0.0.1:1/nothing"
A, B = CORRIDORS


def recounted(url: str) -> VerifyResult:
    """Health alone."""
    return verify(Targets(None, None, {}, health_url=url))


@pytest.fixture
def told(health_database: RoleAccess) -> Iterator[RoleAccess]:
    """Sound stories of every kind."""
    stories = Stories.on(health_database.owner_url)
    tell(stories)
    stories.sql.close()
    yield health_database


def test_sound_stories_have_no_finding(told: RoleAccess) -> None:
    result = recounted(told.reader_url)
    assert lines(result) == []
    assert result.ok and result.notes == ()
    assert result.counts == {"incidents": 5, "incidents_open": 2}


@pytest.mark.parametrize("spoil", HEALTH, ids=lambda spoil: f"{spoil.code} {spoil.name}")
def test_what_is_spoiled_is_found(told: RoleAccess, pg_server: EmbeddedPostgres, spoil: HealthSpoil) -> None:
    with psycopg.connect(pg_server.url(database=told.database), autocommit=True) as sql:
        sql.execute("SET session_replication_role = replica")
        spoil.do(sql)
    result = recounted(told.reader_url)
    found = [line for line in lines(result) if line.startswith(f"{spoil.code} ") and spoil.words in line]
    assert found, "\n".join(lines(result))
    assert result.exit_status == 1
    assert result.notes == ()


def test_what_the_judge_and_operators_wrote_has_no_finding(health_database: RoleAccess) -> None:
    """Real ones: opened, named, relapsed, merged by an operator and by the judge, disputed, closed by both ways."""
    faults = [
        Fault((A,), 60, 120), Fault((A,), 260, 310), Fault(CORRIDORS, 620, 720, share=0.9, silent=("core",)),
    ]  # fmt: skip

    async def work() -> set[str]:
        platform = Platform(health_database, faults, scale=6.0)
        desk = Operating(platform.lanes, lambda: None)
        await platform.run_to(100)
        (first,) = await platform.incidents()
        assert isinstance(await desk.say_resolved(first.id, Form(UUID(int=1), "amina")), Done)
        words = {"en": "Seen by our engineers."}
        for number, component in ((2, B), (3, "channel:bank-api"), (6, "channel:tracking")):
            form = Form(UUID(int=number), "amina")
            one = await desk.open_by_hand([component], words, form, start_ms=platform.now_ms, out=False)
            assert isinstance(one, Done)
            if number == 3:
                assert isinstance(await desk.merge(one.incident, first.id, Form(UUID(int=4), "amina")), Done)
            if number == 6:
                assert isinstance(await desk.correct(one.incident, Form(UUID(int=7), "amina"), start_ms=None,
                                                     components=["channel:bank-api"]), Done)  # fmt: skip
                assert isinstance(await desk.say_resolved(one.incident, Form(UUID(int=5), "amina")), Done)
        await platform.run_to(1000)
        await platform.close()
        with psycopg.connect(health_database.reader_url) as reader:
            return {row[0] for row in reader.execute("SELECT DISTINCT kind FROM incident_event")}

    kinds = asyncio.run(work())
    assert {"opened", "opened_by_hand", "grew", "recovering", "relapsed", "closed", "merged", "said_resolved"} <= kinds
    result = recounted(health_database.reader_url)
    assert lines(result) == []


def test_without_health_there_is_a_note_and_the_same_verdict(core_database: RoleAccess) -> None:
    alone = verify(Targets(core_database.reader_url, None, {}))
    dead = verify(Targets(core_database.reader_url, None, {}, health_url=NOWHERE))
    assert (dead.exit_status, dead.found, dead.counts) == (0, {}, alone.counts)
    (note,) = dead.notes
    assert note.startswith("health: not recounted: ")
    assert "Note. health: not recounted" in render(dead)
    assert "secret" not in render(dead)
    assert '"notes": [\n    "health: not recounted' in as_json(dead)


def test_a_health_of_another_form_is_a_note(told: RoleAccess) -> None:
    with psycopg.connect(told.owner_url) as sql:
        sql.execute("ALTER TABLE publication RENAME TO publications")
    result = recounted(told.reader_url)
    assert result.exit_status == 0
    assert [note for note in result.notes if "publication" in note]


def test_it_is_in_the_recount_of_a_whole_platform(told: RoleAccess, core_database: RoleAccess) -> None:
    """A breach in health is a finding beside the books, which agree."""
    with psycopg.connect(told.owner_url) as sql:
        sql.execute("ALTER TABLE incident_event DISABLE TRIGGER incident_event_guard")
    targets = Targets(core_database.reader_url, None, {}, health_url=told.reader_url)
    assert set(verify(targets).found) == {"I29"}
    assert set(verify(replace(targets, health_url=None)).found) == set()
