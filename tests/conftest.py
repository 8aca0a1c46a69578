"""Real PostgreSQL for the tests: one embedded server for a whole run, a fresh migrated database for each test.

`pg_server` is the running server; `core_database` and `gateway_database` are fresh copies of a template that is
migrated once, when first asked for. The server's files are in memory where the machine has room (a copy takes
10 ms there), all of its settings are the safe ones. A guardian stops it should the run be killed.
"""

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql

import hakika.store
from hakika.store.embedded import EmbeddedPostgres, RoleAccess, prepare_role
from hakika.store.migrations import migrate
from hakika.store.server_roles import Role

T = TypeVar("T")
STORE = Path(hakika.store.__file__).parent
MEMORY = Path("/dev/shm")
MEMORY_MIN_BYTES = 2_000_000_000
TEST_SETTINGS = {
    "max_connections": "100",
    "min_wal_size": "80MB",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "client_connection_check_interval": "500ms",
}
LONG_FILES = (
    "test_vantages", "test_plants", "test_health_alone", "test_replay", "test_power_off", "test_health_signals",
    "test_restore", "test_stack", "test_scenarios",
)  # fmt: skip
GUARDIAN = 'while kill -0 "$0" 2>/dev/null; do sleep 1; done; kill -INT "$1"; sleep 2; rm -rf "$2"'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take a minute or more begin first, so that no worker begins one when the others have finished."""
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a thread and loop of its own, from wherever a fixture is asked."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def fast_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A private folder, in memory if there is room; gone when the run ends."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_MIN_BYTES
    if not (roomy and os.access(MEMORY, os.W_OK | os.X_OK)):
        yield tmp_path_factory.mktemp("pg")
        return
    folder = Path(tempfile.mkdtemp(prefix="hakika-tests-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pg_server(fast_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The embedded server of this test run; `url(database=...)` is a superuser's."""
    server = EmbeddedPostgres(fast_folder / "pg", settings=TEST_SETTINGS, durable_initdb=False)
    run(server.start())
    words = ["/bin/sh", "-c", GUARDIAN, str(os.getpid()), str(server.pid), str(fast_folder)]
    guardian = subprocess.Popen(words, start_new_session=True)
    yield server
    guardian.kill()
    guardian.wait()
    run(server.stop())


@dataclass(frozen=True)
class Templates:
    """Migrated templates, made when first asked for, and the copies taken of them."""

    server: EmbeddedPostgres
    admin: psycopg.Connection[Any]
    made: dict[Role, RoleAccess]
    numbers: "itertools.count[int]"

    def copy(self, role: Role, *, migrated: bool = True) -> RoleAccess:
        """A fresh database of `role`: its grants as prepare_role makes them, its schema fully migrated."""
        if role not in self.made:
            self.made[role] = run(prepare_role(self.server, role))
            run(migrate(self.made[role].owner_url, STORE / role / "migrations"))
        source = self.made[role].database if migrated else "template1"
        name = f"{role}_test_{next(self.numbers)}"
        owner, app, reader = (f"hakika_{role}_{kind}" for kind in ("owner", "app", "reader"))
        self._execute("CREATE DATABASE ", name, " TEMPLATE ", source, " STRATEGY file_copy OWNER ", owner)
        self._execute("REVOKE ALL ON DATABASE ", name, " FROM PUBLIC")
        self._execute("GRANT CONNECT ON DATABASE ", name, " TO ", app, ", ", reader)
        url = self.server.url
        return RoleAccess(url(owner, name), url(app, name), url(reader, name), name)

    def drop(self, database: RoleAccess) -> None:
        """Remove a copy, whoever is still connected to it."""
        self._execute("DROP DATABASE ", database.database, " WITH (FORCE)")

    def _execute(self, *words: str) -> None:
        """SQL words (with a blank at an end) as they are, names quoted."""
        parts = [sql.SQL(word) if " " in word else sql.Identifier(word) for word in words]
        self.admin.execute(sql.Composed(parts))


@pytest.fixture(scope="session")
def templates(pg_server: EmbeddedPostgres) -> Iterator[Templates]:
    """What the database fixtures are copied from."""
    with psycopg.connect(pg_server.url(), autocommit=True) as admin:
        yield Templates(pg_server, admin, {}, itertools.count(1))


@pytest.fixture
def new_database(templates: Templates) -> Iterator[Callable[[Role, bool], RoleAccess]]:
    """As many fresh databases as a test asks for: new_database("core", migrated)."""
    copies: list[RoleAccess] = []

    def make(role: Role, migrated: bool = True) -> RoleAccess:
        copies.append(templates.copy(role, migrated=migrated))
        return copies[-1]

    yield make
    for copy in copies:
        templates.drop(copy)


@pytest.fixture
def core_database(new_database: Callable[[Role, bool], RoleAccess]) -> RoleAccess:
    """A fresh, migrated database of the core: owner_url, app_url, reader_url, database."""
    return new_database("core", True)


@pytest.fixture
def health_database(new_database: Callable[[Role, bool], RoleAccess]) -> RoleAccess:
    """A fresh, migrated database of health: owner_url, app_url, reader_url, database."""
    return new_database("health", True)


@pytest.fixture
def gateway_database(new_database: Callable[[Role, bool], RoleAccess]) -> RoleAccess:
    """A fresh, migrated database of the gateway: owner_url, app_url, reader_url, database."""
    return new_database("gateway", True)
