"""The embedded server: made whole, attached to, restarted, stopped; each misfit named (F3, F12, F17, T35)."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from hakika import clock
from hakika.store import pg_folder, pg_host
from hakika.store.embedded import EmbeddedFault, EmbeddedPostgres, prepare_role
from hakika.store.ports import PORTS

FAST = {"min_wal_size": "32MB", "max_wal_size": "64MB"}
BACK_S = 3.0
SOURCE = str(Path(pg_host.__file__).parents[2])
STARTER = """
import asyncio, os, sys
from pathlib import Path
from hakika.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings=eval(sys.argv[2]), durable_initdb=False)
asyncio.run(server.start())
print(server.pid, server.port, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="session")
def made(fast_folder: Path) -> Path:
    """A folder with a server made once and stopped, to be copied."""
    folder = fast_folder / "made"
    server = EmbeddedPostgres(folder / "pg", settings=FAST, durable_initdb=False)

    async def make() -> None:
        await server.start()
        await server.stop()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, make()).result()
    (folder / "pg.port").unlink()
    return folder


@pytest.fixture
def home(made: Path, fast_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of it; what still runs there when the test ends is killed."""
    folder = fast_folder / f"{request.node.name[:40].strip('[]')}-{clock.new_id().hex[-8:]}"
    shutil.copytree(made, folder)
    yield folder
    kill_all(folder / "pg")
    shutil.rmtree(folder)


def kill_all(data: Path) -> None:
    for pid in pg_host.processes_in(data) or {}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def embedded(home: Path, **options: object) -> EmbeddedPostgres:
    options = {"settings": FAST, "durable_initdb": False, **options}
    return EmbeddedPostgres(home / "pg", **options)  # type: ignore[arg-type]


def stranger_process() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"])


def kill_initdb(home: Path) -> bool:
    """Kill initdb and its children in the middle; False while it has not got that far."""
    if not list(home.glob(".pg.new-*/data/base")):
        return False
    found = subprocess.run(["pgrep", "-f", f"initdb -D {home}"], capture_output=True, check=False)
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    return True


async def until(question: Callable[[], bool]) -> None:
    ends_s = clock.monotonic_s() + 20
    while not question():
        assert clock.monotonic_s() < ends_s
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(home: Path, **options: object) -> AsyncIterator[EmbeddedPostgres]:
    server = embedded(home, **options)
    await server.start()
    yield server
    await server.stop()


@asynccontextmanager
async def supervised(server: EmbeddedPostgres) -> AsyncIterator[None]:
    task = asyncio.create_task(server.supervise())
    yield
    await server.stop()
    await asyncio.wait_for(task, 10)


async def ask(server: EmbeddedPostgres, query: str, url: str | None = None) -> object:
    async with await psycopg.AsyncConnection.connect(url or server.url(), autocommit=True) as connection:
        cursor = await connection.execute(query.encode())
        row = await cursor.fetchone() if cursor.description else None
        return row[0] if row else None


async def back_within(server: EmbeddedPostgres, limit_s: float) -> float:
    """Seconds until the server answers again."""
    start_s = clock.monotonic_s()
    while True:
        try:
            await ask(server, "SELECT 1")
            return clock.monotonic_s() - start_s
        except psycopg.OperationalError:
            assert clock.monotonic_s() - start_s < limit_s, server.trouble
            await asyncio.sleep(0.02)


async def test_made_private_and_nothing_else_touched(fast_folder: Path) -> None:
    parent = fast_folder / "state-of-somebody"
    parent.mkdir(mode=0o750)
    before = parent.stat()
    start_s = clock.monotonic_s()
    async with running(parent / "core") as server:
        print(f"made and started in {clock.monotonic_s() - start_s:.2f} s")
        assert await ask(server, "SHOW data_directory") == str(parent / "core" / "pg")
        assert await ask(server, "SHOW data_checksums") == "on"
        settings = {"fsync": "on", "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        for name, value in {**settings, "timezone": "UTC", "server_encoding": "UTF8"}.items():
            assert await ask(server, f"SHOW {name}") == value
        locale = "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'postgres'"
        assert await ask(server, locale) == "bC.UTF-8"
    after = parent.stat()
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)
    for path in (parent / "core").iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
        assert path.stat().st_uid == os.geteuid()
    assert sorted(path.name for path in (parent / "core").iterdir()) == [
        "pg",
        "pg.hakika_super.password",
        "pg.lock",
        "pg.log",
        "pg.port",
    ]


async def test_everybody_needs_a_password(home: Path) -> None:
    async with running(home) as server:
        good = server.url()
        for bad in (good.replace(server.password("hakika_super"), "wrong"), good.split("://")[0] + "://"):
            url = bad if "@" in bad else f"postgresql://hakika_super@127.0.0.1:{server.port}/postgres"
            with pytest.raises(psycopg.OperationalError, match="password"):
                await psycopg.AsyncConnection.connect(url)
        rules = await ask(server, "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules")
        assert rules == "scram-sha-256"
        kinds = "SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%') FROM pg_authid WHERE rolcanlogin"
        assert await ask(server, kinds) is True


async def test_data_port_and_passwords_survive(home: Path) -> None:
    async with running(home) as first:
        await ask(first, "CREATE TABLE kept AS SELECT 42 AS value")
        url = first.url()
    async with running(home) as second:
        assert second.url() == url
        assert await ask(second, "SELECT value FROM kept") == 42


async def test_second_start_attaches(home: Path) -> None:
    async with running(home) as first:
        second = embedded(home)
        await asyncio.gather(second.start(), first.start())
        assert (second.pid, second.port) == (first.pid, first.port)
        with pytest.raises(EmbeddedFault, match=f"on port {first.port} and not 1024"):
            await embedded(home, port=1024).start()


async def test_many_starts_at_once_make_one_server(fast_folder: Path) -> None:
    home = fast_folder / "at-once"
    servers = [embedded(home) for _ in range(4)]
    await asyncio.gather(*(server.start() for server in servers))
    assert len({server.pid for server in servers}) == 1
    await servers[0].stop()


async def test_survives_its_starter_and_the_terminal(home: Path) -> None:
    """`hakika up` is killed: the server stays, in a session of its own, and the next start attaches."""
    words = [sys.executable, "-c", STARTER, str(home / "pg"), repr(FAST)]
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout.split()[0])
    assert os.getsid(pid) == pid
    async with running(home) as server:
        assert server.pid == pid
        async with supervised(server):
            os.kill(pid, signal.SIGKILL)  # not our child, and noticed all the same
            await asyncio.sleep(0.05)
            await back_within(server, BACK_S)
    assert not pg_host.processes_in(home / "pg")


async def test_killed_postmaster_comes_back_with_its_data(home: Path) -> None:
    server = embedded(home)
    await server.start()
    await ask(server, "CREATE TABLE kept AS SELECT 42 AS value")
    async with supervised(server):
        for turn in range(3):
            assert server.pid is not None
            start_s = clock.monotonic_s()
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: server.restarts > turn)  # noqa: B023 - awaited at once
            took_s = clock.monotonic_s() - start_s
            print(f"back {took_s:.2f} s after kill -9")
            assert took_s < BACK_S
            assert await ask(server, "SELECT value FROM kept") == 42
    assert server.pid is None


async def test_everything_killed_at_once_comes_back(home: Path) -> None:
    server = embedded(home)
    await server.start()
    async with supervised(server):
        kill_all(home / "pg")
        await asyncio.sleep(0.01)
        await back_within(server, BACK_S)


async def test_children_that_outlive_their_postmaster_do_not_block(home: Path) -> None:
    """A backend busy in a loop does not notice that its postmaster is gone; shared memory stays in use."""
    server = embedded(home)
    await server.start()
    async with await psycopg.AsyncConnection.connect(server.url(), autocommit=True) as connection:
        busy = asyncio.create_task(connection.execute("SELECT count(*) FROM generate_series(1, 9000000000)"))
        await asyncio.sleep(0.3)
        async with supervised(server):
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
            await back_within(server, BACK_S)
            with pytest.raises(psycopg.OperationalError):
                await busy


async def test_one_backend_killed_restarts_inside(home: Path) -> None:
    server = embedded(home)
    await server.start()
    async with supervised(server):
        async with await psycopg.AsyncConnection.connect(server.url()) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        await back_within(server, BACK_S)


@pytest.mark.parametrize("whose", ["stranger", "ours", "nobody"])
async def test_stale_pid_file_does_not_block(home: Path, whose: str) -> None:
    stranger = stranger_process()
    pid = {"stranger": stranger.pid, "ours": os.getpid(), "nobody": 4_000_000}[whose]
    server = embedded(home)
    await server.start()
    lines = (home / "pg" / "postmaster.pid").read_text().splitlines()
    kill_all(home / "pg")
    await asyncio.sleep(0.1)
    (home / "pg" / "postmaster.pid").write_text("\n".join([str(pid), *lines[1:]]) + "\n")
    async with running(home) as again:
        assert again.pid != pid
    stranger.kill()
    assert stranger.wait() == -signal.SIGKILL


async def test_interrupted_initdb_is_done_again(fast_folder: Path) -> None:
    home = fast_folder / "interrupted"
    server = embedded(home)
    start = asyncio.create_task(server.start())
    await until(lambda: kill_initdb(home))
    with pytest.raises(EmbeddedFault, match="initdb failed"):
        await start
    assert not (home / "pg").exists()
    async with running(home) as again:
        assert await ask(again, "SELECT 1") == 1
    assert not list(home.glob(".pg.new-*"))


async def test_cancelled_start_leaves_a_whole_folder(fast_folder: Path) -> None:
    home = fast_folder / "cancelled"
    for wait_s in (0.05, 0.3, 0.6):
        start = asyncio.create_task(embedded(home).start())
        await asyncio.sleep(wait_s)
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
    async with running(home) as again:
        assert await ask(again, "SELECT 1") == 1


async def test_port_taken_by_a_stranger(home: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(EmbeddedFault, match=f"port {port} is taken by another program"):
            await embedded(home, port=port).start()
        (home / "pg.port").write_text(f"{port}\n")
        async with running(home) as server:
            assert server.port != port
            assert server.port in PORTS


async def test_port_taken_while_down_is_waited_for(home: Path) -> None:
    """Callers know the port, so a restart keeps it, and tries again until the stranger has left."""
    server = embedded(home)
    await server.start()
    port, pid = server.port, server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                stranger.bind(("127.0.0.1", port))
                break
            except OSError:
                await asyncio.sleep(0.01)
        stranger.listen()
        task = asyncio.create_task(server.supervise())
        await until(lambda: server.trouble is not None)
        assert f"port {port} is taken" in str(server.trouble)
    await back_within(server, 10)
    assert server.port == port
    await server.stop()
    await task


async def fault(folder: Path) -> str:
    with pytest.raises(EmbeddedFault) as caught:
        await EmbeddedPostgres(folder, settings=FAST, durable_initdb=False).start()
    return str(caught.value)


async def test_folders_that_do_not_fit(home: Path, fast_folder: Path) -> None:
    data = home / "pg"
    (data / "PG_VERSION").write_text("17\n")
    assert "was made by PostgreSQL 17, the embedded server is 18" in await fault(data)
    (data / "PG_VERSION").write_text("18\n")
    data.chmod(0o755)
    assert "open to others" in await fault(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o755, "named, not mended"
    data.chmod(0o700)
    (home / "pg.hakika_super.password").rename(home / "aside")
    assert "pg.hakika_super.password is missing" in await fault(data)
    other = fast_folder / "holiday"
    other.mkdir()
    (other / "photo.jpg").touch()
    assert "is not empty and holds no PostgreSQL data (photo.jpg)" in await fault(other)
    assert "is not a folder" in await fault(other / "photo.jpg")
    assert "cannot be written" in await fault(other / "photo.jpg" / "pg")
    assert "cannot be written" in await fault(Path("/proc/hakika/pg"))


async def test_empty_folder_is_used(fast_folder: Path) -> None:
    home = fast_folder / "empty"
    (home / "pg").mkdir(parents=True)
    async with running(home):
        assert stat.S_IMODE((home / "pg").stat().st_mode) == 0o700


async def test_broken_data_are_named(home: Path) -> None:
    (home / "pg" / "global" / "pg_control").unlink()
    assert "pg_control" in await fault(home / "pg")


async def test_stopped_twice_and_started_again(home: Path) -> None:
    server = embedded(home)
    await server.stop()
    await server.start()
    await server.stop()
    await server.stop()
    await server.start()
    assert await ask(server, "SELECT 1") == 1
    await server.stop()


async def test_erased_for_good_and_only_if_ours(home: Path, fast_folder: Path) -> None:
    server = embedded(home)
    await server.start()
    await ask(server, "CREATE TABLE kept AS SELECT 42 AS value")
    await server.erase()
    assert os.listdir(home) == ["pg.lock"]
    await server.start()
    assert await ask(server, "SELECT to_regclass('kept')") is None
    await server.stop()
    other = fast_folder / "letters" / "pg"
    other.mkdir(parents=True)
    (other / "letter").touch()
    with pytest.raises(EmbeddedFault, match="holds no PostgreSQL data"):
        await EmbeddedPostgres(other).erase()
    assert os.listdir(other) == ["letter"]


async def test_stopped_in_the_middle_of_a_restart(home: Path) -> None:
    for wait_s in (0.0, 0.005, 0.01, 0.02, 0.05):
        server = embedded(home)
        await server.start()
        kill_all(home / "pg")
        task = asyncio.create_task(server.supervise())
        await asyncio.sleep(wait_s)
        await server.stop()
        await asyncio.wait_for(task, 10)
        assert not pg_host.processes_in(home / "pg")


async def test_stop_does_not_wait_for_clients(home: Path) -> None:
    server = embedded(home)
    await server.start()
    async with await psycopg.AsyncConnection.connect(server.url(), autocommit=True) as connection:
        await connection.execute("SELECT 1")
        start_s = clock.monotonic_s()
        await server.stop()
        assert clock.monotonic_s() - start_s < 2


async def test_roles_are_made_once_and_least_privileged(home: Path) -> None:
    (home / "pg.hakika_core_app.password").write_text("p@ss/w:rd %41?&#\n")
    async with running(home) as server:
        access = await prepare_role(server, "core")
        assert await prepare_role(server, "core") == access
        assert await ask(server, "SELECT current_user::text", access.app_url) == "hakika_core_app"
        assert await ask(server, "SHOW default_transaction_read_only", access.reader_url) == "on"
        power = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'hakika_core%' AND (rolsuper OR rolcreatedb "
        assert await ask(server, power + "OR rolcreaterole OR rolreplication OR rolbypassrls)") == 0
        for url in (access.owner_url, access.app_url, access.reader_url):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                await psycopg.AsyncConnection.connect(url.replace("/hakika_core?", "/postgres?"))
        log = (home / "pg.log").read_text()
        assert server.password("hakika_core_owner") not in log


async def test_log_is_set_aside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pg_folder, "LOG_KEPT_BYTES", 10)
    async with running(home):
        pass
    async with running(home):
        assert (home / "pg.log.1").exists()


def test_reasons_in_one_line() -> None:
    assert pg_folder.complaint("x\nFATAL:  could not write: No space left on device\n").startswith("the disk")
    assert pg_folder.complaint("LOG: could not bind: Address already in use") == pg_folder.PORT_TAKEN
    assert pg_folder.complaint("1 [2] FATAL:  no such thing") == "1 [2] FATAL:  no such thing"
    assert pg_folder.complaint("all\nis well\n") == "all; is well"
    assert pg_folder.complaint("") == ""
