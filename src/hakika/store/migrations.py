"""Migrations: numbered SQL files, each applied once, whole or not at all, and never changed afterwards.

`NNNN_pre_name.sql` runs before the code that needs it is deployed and must suit the code still running;
`NNNN_post_name.sql` runs after. They are applied in order of number, each in a transaction of its own that
also records its name and SHA-256 in `schema_migration`, under one advisory lock, so that several processes
may migrate at once and a crash leaves the last whole step. A file that was changed after it was applied is
refused, and so is a database that knows migrations which this code does not.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, LiteralString

import psycopg
from psycopg.pq import TransactionStatus

from hakika.store.lane import Lane, StoreFault

MIGRATE_S = 600.0
CHECK_S = 10.0
ADVISORY_LOCK = 0x48414B494B41  # "HAKIKA"; each role has a database of its own
FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<phase>pre|post)_[a-z0-9_]+\.sql")
ENDS_TRANSACTION = re.compile(rb"(?im)^\s*(BEGIN|COMMIT|ROLLBACK|START\s+TRANSACTION)\s*;")
SETUP: tuple[LiteralString, ...] = ("SET statement_timeout = 0",)
# A migration that cannot get its locks gives up, rather than make everybody queue behind it.
PATIENCE: LiteralString = "SET LOCAL lock_timeout = '10s'"
TABLE: LiteralString = """
CREATE TABLE schema_migration (
    number integer PRIMARY KEY,
    name text NOT NULL UNIQUE,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_migration IS 'Which migrations made this schema; written by hakika migrate alone.';
GRANT SELECT ON schema_migration TO PUBLIC
"""


class MigrationRefused(Exception):
    """Files and database do not fit together, or a file failed; nothing of it was applied."""


@dataclass(frozen=True)
class Migration:
    """One file: its number, phase, name and content."""

    number: int
    phase: Literal["pre", "post"]
    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def read_migrations(folder: Path) -> list[Migration]:
    """The migrations in `folder` (or in its folder `migrations`), by number. Raises MigrationRefused."""
    inner = folder / "migrations"
    place = inner if inner.is_dir() else folder
    found: dict[int, Migration] = {}
    for path in sorted(place.glob("*.sql")):
        matched = FILE_NAME.fullmatch(path.name)
        if matched is None:
            raise MigrationRefused(f"{path.name}: must be named NNNN_pre_name.sql or NNNN_post_name.sql")
        number = int(matched["number"])
        if number in found:
            raise MigrationRefused(f"{path.name}: {found[number].name} has the same number")
        content = path.read_bytes().replace(b"\r\n", b"\n")
        if ENDS_TRANSACTION.search(content):
            raise MigrationRefused(f"{path.name}: begins or ends a transaction, which is not its to do")
        phase: Literal["pre", "post"] = "pre" if matched["phase"] == "pre" else "post"
        found[number] = Migration(number, phase, path.name, content)
    return [found[number] for number in sorted(found)]


async def migrate(owner_url: str, folder: Path, *, before_post: bool = False) -> list[str]:
    """Apply what is missing, in order, and return the names applied.

    With `before_post` it stops at the first `post` file not yet applied: the part that is safe while the
    previous code still runs. Raises MigrationRefused, or store.lane.StoreFault when there is no answer:
    then run it again, what was applied is known by its record.
    """
    known = read_migrations(folder)
    lane = Lane(owner_url, name="hakika migrate", setup=SETUP)

    async def apply(connection: psycopg.AsyncConnection[Any]) -> list[str]:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
            there = await connection.execute("SELECT to_regclass('schema_migration')")
            if await there.fetchone() == (None,):
                await connection.execute(TABLE)
        applied: list[str] = []
        while (name := await _apply_next(connection, known, before_post)) is not None:
            applied.append(name)
        return applied

    try:
        return await lane.run(apply, deadline_s=MIGRATE_S)
    finally:
        await lane.close()


async def check_schema(url: str, folder: Path) -> None:
    """Whether this code can work on the database at `url`, asked by a service when it starts.

    It needs every `pre` migration; of migrations unknown to it, only `pre` ones may have been applied.
    Raises MigrationRefused, or store.lane.StoreFault.
    """
    known = read_migrations(folder)
    lane = Lane(url, name="hakika check")
    try:
        applied = await lane.run(_applied, deadline_s=CHECK_S)
    except psycopg.errors.UndefinedTable as error:
        raise MigrationRefused("this database has no schema yet: run hakika migrate") from error
    finally:
        await lane.close()
    _refuse_changed(known, applied)
    missing = [each.name for each in known if each.phase == "pre" and each.number not in applied]
    if missing:
        raise MigrationRefused(f"this database lacks {', '.join(missing)}: run hakika migrate")
    names = {each.name for each in known}
    foreign = [name for name, _ in applied.values() if name not in names and "_post_" in name]
    if foreign:
        raise MigrationRefused(f"this database is newer than this code: {', '.join(foreign)}")


async def _apply_next(
    connection: psycopg.AsyncConnection[Any], known: list[Migration], before_post: bool
) -> str | None:
    """Apply the first missing migration under the lock; None when there is none left."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
        applied = await _applied(connection)
        _refuse_changed(known, applied)
        _refuse_unknown(known, applied)
        missing = [each for each in known if each.number not in applied]
        if not missing or (before_post and missing[0].phase == "post"):
            return None
        await _apply(connection, missing[0])
        return missing[0].name


async def _apply(connection: psycopg.AsyncConnection[Any], migration: Migration) -> None:
    started = await _transaction_id(connection)
    await connection.execute(PATIENCE)
    try:
        await connection.execute(migration.content)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise MigrationRefused(f"{migration.name}{_line(migration, error)}: {error}") from error
    status = connection.pgconn.transaction_status
    if status != TransactionStatus.INTRANS or await _transaction_id(connection) != started:
        raise MigrationRefused(f"{migration.name} ended its transaction: look at what it left behind")
    await connection.execute(
        "INSERT INTO schema_migration (number, name, sha256) VALUES (%s, %s, %s)",
        (migration.number, migration.name, migration.sha256),
    )


async def _applied(connection: psycopg.AsyncConnection[Any]) -> dict[int, tuple[str, str]]:
    """number -> (name, sha256) of what the database says was applied."""
    cursor = await connection.execute("SELECT number, name, sha256 FROM schema_migration ORDER BY number")
    return {number: (name, sha256) for number, name, sha256 in await cursor.fetchall()}


async def _transaction_id(connection: psycopg.AsyncConnection[Any]) -> str:
    row = await (await connection.execute("SELECT pg_current_xact_id()::text")).fetchone()
    if row is None:
        raise StoreFault("no transaction id")
    return str(row[0])


def _refuse_changed(known: list[Migration], applied: dict[int, tuple[str, str]]) -> None:
    for each in known:
        if each.number in applied and applied[each.number] != (each.name, each.sha256):
            raise MigrationRefused(
                f"{each.name} was changed after it was applied (as {applied[each.number][0]}); "
                "put it back and write another migration"
            )


def _refuse_unknown(known: list[Migration], applied: dict[int, tuple[str, str]]) -> None:
    numbers = {each.number for each in known}
    foreign = [name for number, (name, _) in applied.items() if number not in numbers]
    if foreign:
        raise MigrationRefused(f"this database knows migrations that this code does not: {', '.join(foreign)}")
    missing = [each.name for each in known if each.number not in applied and each.number < max(applied, default=0)]
    if missing:
        raise MigrationRefused(f"{', '.join(missing)}: numbered before what was applied already")


def _line(migration: Migration, error: psycopg.Error) -> str:
    position = error.diag.statement_position
    if position is None:
        return ""
    before = migration.content.decode("utf-8", errors="replace")[: int(position)]
    return f", line {before.count(chr(10)) + 1}"
