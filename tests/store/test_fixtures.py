"""The database fixtures give fresh, separate, least-privileged databases."""

import psycopg
import pytest

from hakika.store.embedded import EmbeddedPostgres, RoleAccess, check_server


async def test_roles_are_apart(core_database: RoleAccess, gateway_database: RoleAccess) -> None:
    for database in (core_database, gateway_database):
        for url in (database.owner_url, database.app_url, database.reader_url):
            async with await psycopg.AsyncConnection.connect(url) as connection:
                row = await (await connection.execute("SELECT current_database()")).fetchone()
                assert row == (database.database,)
    other = core_database.app_url.replace(core_database.database, gateway_database.database)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        await psycopg.AsyncConnection.connect(other)


async def test_app_and_reader_make_nothing(core_database: RoleAccess) -> None:
    for url in (core_database.app_url, core_database.reader_url):
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for statement in ("CREATE TABLE t (a int)", "CREATE TEMP TABLE t (a int)", "CREATE SCHEMA s"):
                with pytest.raises(psycopg.errors.Error) as caught:
                    await connection.execute(statement)
                assert isinstance(
                    caught.value, psycopg.errors.InsufficientPrivilege | psycopg.errors.ReadOnlySqlTransaction
                )


async def test_server_of_the_tests_is_safe(pg_server: EmbeddedPostgres) -> None:
    facts = await check_server(pg_server.url())
    assert facts.version >= 180000
    assert not facts.in_recovery


def test_passwords_are_not_printed(core_database: RoleAccess) -> None:
    assert "postgresql://" not in repr(core_database)
