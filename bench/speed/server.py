"""The one PostgreSQL of a run, for Hakika and for every peer alike, with the settings of a machine that does just this.

Nothing that a commit promises is switched off: fsync, synchronous_commit and full_page_writes are on. What is set is
memory, and room for the log, so that checkpoints fall between the repeats and not into some of them.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from hakika.store import core as core_store
from hakika.store import gateway as gateway_store
from hakika.store.embedded import EmbeddedPostgres, RoleAccess, prepare_role
from hakika.store.migrations import migrate
from hakika.store.server_roles import Role

SETTINGS = {
    "shared_buffers": "1GB",
    "max_connections": "120",
    "min_wal_size": "4GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "effective_cache_size": "8GB",
}
PACKAGES = {"core": core_store, "gateway": gateway_store}


class Server:
    """A running server; databases are made fresh for each kind of work."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self.postgres = postgres  # another one after `restart`
        self._made = 0

    def url(self, database: str = "postgres") -> str:
        """The superuser's way in: keep it out of logs."""
        return self.postgres.url(database=database)

    async def fresh(self, role: Role) -> RoleAccess:
        """A new, migrated database of `role`."""
        self._made += 1
        access = await prepare_role(self.postgres, role, database=f"bench_{role}_{self._made}")
        await migrate(access.owner_url, Path(PACKAGES[role].__path__[0]) / "migrations")
        return access

    async def drop(self, access: RoleAccess) -> None:
        """Remove a database, whoever is connected to it."""
        await self.execute(f'DROP DATABASE "{access.database}" WITH (FORCE)')

    async def restart(self, **settings: str) -> None:
        """The same data under other settings than SETTINGS, until the next call; connections are cut."""
        await self.postgres.stop()
        self.postgres = EmbeddedPostgres(self.postgres.folder, settings={**SETTINGS, **settings})
        await self.postgres.start()

    async def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """One statement of the superuser's, outside any transaction."""
        async with await psycopg.AsyncConnection.connect(self.url(), autocommit=True) as connection:
            cursor = await connection.execute(statement.encode())
            return await cursor.fetchall() if cursor.description else []

    async def settle(self) -> float:
        """Checkpoint, so that the next repeat does not pay for the last one; how long it took, in seconds."""
        begun_s = time.monotonic()
        await self.execute("CHECKPOINT")
        return time.monotonic() - begun_s


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Server]:
    """A server on an empty folder, gone afterwards."""
    postgres = EmbeddedPostgres(folder, settings=SETTINGS)
    await postgres.erase()
    await postgres.start()
    server = Server(postgres)
    try:
        yield server
    finally:
        await server.postgres.erase()
