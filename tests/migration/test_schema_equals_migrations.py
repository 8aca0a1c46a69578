"""schema.sql, which people read, makes the same database as the migrations, which machines run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from catalog import dump

import hakika.store
from hakika.store.embedded import RoleAccess
from hakika.store.migrations import migrate, read_migrations
from hakika.store.server_roles import Role

STORE = Path(hakika.store.__file__).parent
NewDatabase = Callable[[Role, bool], RoleAccess]
SAMPLE = """
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TABLE thing (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hue colour NOT NULL DEFAULT 'red',
    note text CHECK (note <> '')) WITH (fillfactor = 40);
COMMENT ON COLUMN thing.note IS 'said once';
CREATE INDEX thing_hue ON thing (hue) WHERE note IS NOT NULL;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE TRIGGER only_append BEFORE UPDATE OR DELETE ON thing FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE VIEW red_thing AS SELECT id FROM thing WHERE hue = 'red';
GRANT SELECT ON thing TO hakika_core_app;
"""
# What a reviewer might overlook, each of which the comparison must see.
CHANGES = (
    "ALTER TABLE thing ALTER COLUMN note SET NOT NULL",
    "ALTER TABLE thing ALTER COLUMN hue SET DEFAULT 'green'",
    "ALTER TABLE thing DROP CONSTRAINT thing_note_check",
    "ALTER TABLE thing DISABLE TRIGGER only_append",
    "ALTER TABLE thing SET (fillfactor = 90)",
    "ALTER TYPE colour ADD VALUE 'blue'",
    "ALTER SEQUENCE thing_id_seq INCREMENT 2",
    "ALTER TABLE thing ENABLE ROW LEVEL SECURITY",
    "COMMENT ON COLUMN thing.note IS 'said twice'",
    "DROP INDEX thing_hue",
    "GRANT UPDATE ON thing TO hakika_core_app",
    "GRANT SELECT (id) ON thing TO hakika_core_reader",
    "REVOKE EXECUTE ON FUNCTION refuse() FROM PUBLIC",
    "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
    "CREATE OR REPLACE VIEW red_thing AS SELECT id FROM thing WHERE hue = 'green'",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO hakika_core_app",
)


def execute(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


@pytest.mark.parametrize("role", ["core", "gateway", "health"])
async def test_schema_equals_replayed_migrations(role: Role, new_database: NewDatabase) -> None:
    folder = STORE / role
    replayed, written = new_database(role, False), new_database(role, False)
    applied = await migrate(replayed.owner_url, folder / "migrations")
    assert applied == [each.name for each in read_migrations(folder / "migrations")]
    assert applied, f"{role} has no migrations"
    text = (folder / "schema.sql").read_text(encoding="utf-8")
    await migrate(written.owner_url, folder / "no-such-folder")  # its own table only
    execute(written.owner_url, text)
    assert dump(replayed.owner_url) == dump(written.owner_url)


async def test_comparison_sees_every_kind_of_change(new_database: NewDatabase) -> None:
    database = new_database("core", False)
    execute(database.owner_url, SAMPLE)
    before: list[Any] = dump(database.owner_url)
    for change in CHANGES:
        execute(database.owner_url, change)
        after = dump(database.owner_url)
        assert after != before, change
        before = after
