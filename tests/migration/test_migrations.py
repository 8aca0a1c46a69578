"""Migrations are applied once, in order, whole or not at all, by however many processes at once."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

import hakika
from hakika.store.embedded import EmbeddedPostgres, RoleAccess
from hakika.store.lane import StoreFault
from hakika.store.migrations import MigrationRefused, check_schema, migrate, read_migrations
from hakika.store.server_roles import Role

SOURCE = str(Path(hakika.__file__).parents[1])
FIRST = "CREATE TABLE thing (id integer PRIMARY KEY);\nGRANT SELECT ON thing TO hakika_core_app;\n"
SECOND = "ALTER TABLE thing ADD COLUMN note text;\nINSERT INTO thing VALUES (1, 'from the second');\n"
THIRD = "ALTER TABLE thing ALTER COLUMN note SET NOT NULL;\n"
WHOLE = ["0001_pre_thing.sql", "0002_pre_note.sql", "0003_post_note_is_known.sql"]
PROCESS = """
import asyncio, sys
from pathlib import Path
from hakika.store.migrations import migrate
print(asyncio.run(migrate(sys.argv[1], Path(sys.argv[2]))), flush=True)
"""


@pytest.fixture
def database(new_database: Callable[[Role, bool], RoleAccess]) -> RoleAccess:
    return new_database("core", False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "store" / "migrations"
    made.mkdir(parents=True)
    for name, text in zip(WHOLE, (FIRST, SECOND, THIRD), strict=True):
        (made / name).write_text(text)
    return made


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


async def test_applied_once_in_order(database: RoleAccess, folder: Path) -> None:
    assert await migrate(database.owner_url, folder) == WHOLE
    assert await migrate(database.owner_url, folder) == []
    assert await migrate(database.owner_url, folder.parent) == []
    assert ask(database.owner_url, "SELECT note FROM thing") == "from the second"
    recorded = "SELECT string_agg(name, ' ' ORDER BY number) FROM schema_migration"
    assert ask(database.reader_url, recorded) == " ".join(WHOLE)
    await check_schema(database.app_url, folder)


async def test_pre_first_post_later(database: RoleAccess, folder: Path) -> None:
    with pytest.raises(MigrationRefused, match="no schema yet"):
        await check_schema(database.app_url, folder)
    assert await migrate(database.owner_url, folder, before_post=True) == WHOLE[:2]
    await check_schema(database.app_url, folder)
    assert await migrate(database.owner_url, folder) == WHOLE[2:]
    await check_schema(database.app_url, folder)


async def test_changed_file_is_refused(database: RoleAccess, folder: Path) -> None:
    await migrate(database.owner_url, folder)
    (folder / WHOLE[1]).write_text(SECOND + "-- improved\n")
    with pytest.raises(MigrationRefused, match=r"0002_pre_note\.sql was changed after it was applied"):
        await migrate(database.owner_url, folder)
    with pytest.raises(MigrationRefused, match="was changed"):
        await check_schema(database.app_url, folder)
    (folder / WHOLE[1]).write_bytes(SECOND.replace("\n", "\r\n").encode())
    assert await migrate(database.owner_url, folder) == [], "line ends are not content"


async def test_renamed_file_is_refused(database: RoleAccess, folder: Path) -> None:
    await migrate(database.owner_url, folder)
    (folder / WHOLE[1]).rename(folder / "0002_pre_remark.sql")
    with pytest.raises(MigrationRefused, match=r"0002_pre_remark\.sql was changed"):
        await migrate(database.owner_url, folder)


async def test_newer_database_is_refused(database: RoleAccess, folder: Path) -> None:
    """An older release still runs beside unknown `pre` changes, never beside `post` ones, and migrates nothing."""
    (folder / "0004_pre_more.sql").write_text("ALTER TABLE thing ADD COLUMN more text;")
    await migrate(database.owner_url, folder)
    (folder / "0004_pre_more.sql").rename(folder.parent / "aside")
    with pytest.raises(MigrationRefused, match=r"that this code does not: 0004_pre_more\.sql"):
        await migrate(database.owner_url, folder)
    await check_schema(database.app_url, folder)
    (folder / WHOLE[2]).rename(folder.parent / "aside as well")
    with pytest.raises(MigrationRefused, match=r"newer than this code: 0003_post_note_is_known\.sql"):
        await check_schema(database.app_url, folder)


async def test_late_number_is_refused(database: RoleAccess, folder: Path) -> None:
    (folder / WHOLE[1]).rename(folder.parent / "late")
    (folder / WHOLE[2]).write_text("CREATE TABLE other ();")
    await migrate(database.owner_url, folder)
    (folder.parent / "late").rename(folder / WHOLE[1])
    with pytest.raises(MigrationRefused, match="numbered before what was applied already"):
        await migrate(database.owner_url, folder)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("0004_more.sql", "SELECT 1", "must be named"),
        ("4_pre_more.sql", "SELECT 1", "must be named"),
        ("0003_pre_more.sql", "SELECT 1", "has the same number"),
        ("0004_pre_more.sql", "SELECT 1;\n  commit ;\n", "begins or ends a transaction"),
        ("0004_pre_more.sql", "BEGIN;\nSELECT 1", "begins or ends a transaction"),
    ],
)
def test_unfit_files_are_named(folder: Path, name: str, text: str, reason: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(MigrationRefused, match=reason):
        read_migrations(folder)


async def test_failed_file_leaves_nothing_and_names_the_line(database: RoleAccess, folder: Path) -> None:
    (folder / WHOLE[2]).write_text("CREATE TABLE half ();\n\nCREATE TABLE thing (id integer);\nnonsense;\n")
    with pytest.raises(MigrationRefused, match=r"0003_post_note_is_known\.sql, line 4"):
        await migrate(database.owner_url, folder)
    assert ask(database.owner_url, "SELECT to_regclass('half')") is None
    assert ask(database.owner_url, "SELECT max(number) FROM schema_migration") == 2
    (folder / WHOLE[2]).write_text(THIRD)
    assert await migrate(database.owner_url, folder) == WHOLE[2:]


async def test_file_that_ends_its_transaction_is_caught(database: RoleAccess, folder: Path) -> None:
    sneaky = "CREATE PROCEDURE leave() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$; CALL leave();"
    (folder / WHOLE[2]).write_text(sneaky)
    with pytest.raises(MigrationRefused):
        await migrate(database.owner_url, folder)
    assert ask(database.owner_url, "SELECT max(number) FROM schema_migration") == 2


async def test_two_processes_at_once(database: RoleAccess, folder: Path) -> None:
    (folder / "0004_pre_slow.sql").write_text("SELECT pg_sleep(0.3); CREATE TABLE slow ();")
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    words = [sys.executable, "-c", PROCESS, database.owner_url, str(folder)]
    pipe = asyncio.subprocess.PIPE
    both = [await asyncio.create_subprocess_exec(*words, env=environment, stdout=pipe, stderr=pipe) for _ in range(2)]
    answers = [await each.communicate() for each in both]
    assert [each.returncode for each in both] == [0, 0], answers
    applied = [name for out, _ in answers for name in eval(out)]
    assert sorted(applied) == [*WHOLE, "0004_pre_slow.sql"]


async def test_many_at_once_in_one_process(database: RoleAccess, folder: Path) -> None:
    answers = await asyncio.gather(*(migrate(database.owner_url, folder) for _ in range(5)))
    assert sorted(name for answer in answers for name in answer) == WHOLE


@pytest.mark.parametrize("victim", ["process", "backend"])
async def test_killed_in_the_middle_leaves_nothing_half(
    database: RoleAccess, folder: Path, pg_server: EmbeddedPostgres, victim: str
) -> None:
    (folder / WHOLE[2]).write_text("CREATE TABLE half (); SELECT pg_sleep(30); CREATE TABLE other_half ();")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROCESS,
        database.owner_url,
        str(folder),
        env={**os.environ, "PYTHONPATH": SOURCE},
        stderr=asyncio.subprocess.PIPE,
    )
    sleeping = f"datname = '{database.database}' AND wait_event = 'PgSleep'"
    pid = None
    while pid is None:
        await asyncio.sleep(0.05)
        pid = ask(pg_server.url(), f"SELECT pid FROM pg_stat_activity WHERE {sleeping}")
    if victim == "process":
        os.kill(process.pid, signal.SIGKILL)
    else:
        ask(pg_server.url(), f"SELECT pg_terminate_backend({pid})")
    _, text = await process.communicate()
    assert process.returncode != 0
    assert victim == "process" or b"NoAnswer" in text
    (folder / WHOLE[2]).write_text(THIRD)
    for _ in range(100):  # the killed caller's backend notices within a second or two
        if not ask(pg_server.url(), f"SELECT count(*) FROM pg_stat_activity WHERE {sleeping}"):
            break
        await asyncio.sleep(0.05)
    assert ask(database.owner_url, "SELECT to_regclass('half')") is None
    assert await migrate(database.owner_url, folder) == WHOLE[2:]


async def test_no_database_is_a_fault(folder: Path) -> None:
    with pytest.raises(StoreFault):
        await migrate("postgresql://u:p@127.0.0.1:1/d", folder)
