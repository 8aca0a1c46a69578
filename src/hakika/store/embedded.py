"""An embedded PostgreSQL 18: one server for one role, made, started, watched and stopped from here.

It listens on 127.0.0.1 only, without a Unix socket, and asks everybody for a SCRAM password. Its data
outlive us: it runs in a session of its own, a second start attaches to the running server after making
sure that it is ours, and a stale pid file or processes left by a killed postmaster do not block.
supervise() brings it back when it dies, and keeps trying while it cannot start (a full disk). All settings
are given on the command line, so nothing that a power cut could spoil is written at start-up.
The folder itself is pg_folder.py's, the ways round root are pg_host.py's.
"""

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg

from hakika import clock
from hakika.store import pg_host
from hakika.store.lane import Lane, StoreFault
from hakika.store.pg_folder import PORT_TAKEN, SUPERUSER, ServerFolder
from hakika.store.pg_host import EmbeddedFault
from hakika.store.ports import HeldPorts, NoPort
from hakika.store.server_check import ServerUnfit, check_server
from hakika.store.server_roles import RoleAccess, prepare_role

__all__ = [
    "SUPERUSER",
    "EmbeddedFault",
    "EmbeddedPostgres",
    "RoleAccess",
    "ServerUnfit",
    "check_server",
    "prepare_role",
]

T = TypeVar("T")

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "min_wal_size": "512MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "30s",  # what was written since is replayed after a crash, before anybody is let in
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "data_sync_retry": "off",
    "restart_after_crash": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "log_checkpoints": "off",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
LOCK_S = 150.0
START_S = 120.0
ASK_S = 3.0
POLL_S = 0.01
WATCH_S = 0.2
ORPHANS_S = 0.3
KILLED_S = 5.0
STOP_FAST_S = 20.0
STOP_NOW_S = 5.0
PORT_TRIES = 5
RESTART_PAUSE_FIRST_S = 0.2
RESTART_PAUSE_MAX_S = 5.0

log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """The server on one data folder. Start it, then run supervise() as a task until stop()."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        durable_initdb: bool = True,
    ) -> None:
        """`port` None: a free one is chosen once and remembered. `settings` override those above."""
        self._folder = ServerFolder(folder, durable_initdb=durable_initdb)
        self._asked_port = port
        self._port: int | None = None
        self._pid: int | None = None
        self._held = HeldPorts()
        self._settings = {**SETTINGS, **(settings or {})}
        self._wanted = False
        self._changing = asyncio.Lock()
        self.trouble: str | None = None
        self.restarts = 0

    @property
    def folder(self) -> Path:
        """The data folder as it was given, made absolute."""
        return self._folder.path

    @property
    def port(self) -> int:
        """The port on 127.0.0.1. Raises EmbeddedFault before the first start()."""
        if self._port is None:
            raise EmbeddedFault(f"{self.folder}: not started yet")
        return self._port

    @property
    def pid(self) -> int | None:
        """The postmaster's pid as last seen; None when stopped."""
        return self._pid

    def url(self, user: str = SUPERUSER, database: str = "postgres") -> str:
        """Where `user` reaches `database`, password included: keep it out of logs and command lines."""
        password = quote(self._folder.password(user), safe="")
        where = f"127.0.0.1:{self.port}/{quote(database, safe='')}"
        return f"postgresql://{quote(user, safe='')}:{password}@{where}?sslmode=disable"

    def password(self, user: str) -> str:
        """The stored password of `user`; made, stored and synced when there is none."""
        return self._folder.password(user)

    async def start(self) -> None:
        """Return once the server takes connections: attached if it runs already, else made and launched.

        Raises EmbeddedFault, whose text says what to do about it.
        """
        self._wanted = True
        await self._bring_up()

    async def _bring_up(self) -> None:
        async with self._changing, self._only_one_starts():
            if self._ended():
                return
            await _in_thread(self._folder.examine)
            pid = self._folder.postmaster()
            if pid is not None and await self._attach(pid):
                return
            await self._bury()
            await _in_thread(self._folder.prepare)
            for _ in range(PORT_TRIES):
                if await self._launch(self._next_port()):
                    return
            raise EmbeddedFault(f"{self.folder}: {PORT_TRIES} ports in turn were taken meanwhile")

    async def supervise(self) -> None:
        """Restart the server whenever it dies, for ever; returns after stop()."""
        while not self._ended():
            if self._pid is not None:
                await self._until_gone(self._pid)
            if self._ended():
                return
            log.warning("%s: the server died, restarting it", self.folder)
            pause_s = RESTART_PAUSE_FIRST_S
            while not self._ended():
                try:
                    await self._bring_up()
                    self.restarts += not self._ended()
                    self.trouble = None
                    break
                except EmbeddedFault as fault:
                    self.trouble = str(fault)
                    log.error("%s: not restarted, again in %.1f s: %s", self.folder, pause_s, fault)
                await asyncio.sleep(clock.jitter(pause_s))
                pause_s = min(pause_s * 2, RESTART_PAUSE_MAX_S)

    async def stop(self) -> None:
        """Fast shutdown: transactions are rolled back, data are checkpointed. Idempotent."""
        self._wanted = False
        async with self._changing:
            pid = self._folder.postmaster()
            for signal_number, patience_s in ((signal.SIGINT, STOP_FAST_S), (signal.SIGQUIT, STOP_NOW_S)):
                if pid is None or not _signal(pid, signal_number):
                    break
                if await self._gone_within(pid, patience_s):
                    break
                log.error("%s: runs on %g s after signal %d", self.folder, patience_s, signal_number)
            await self._bury()
            self._pid = None
            self._held.release()

    async def erase(self) -> None:
        """Stop the server and delete its data, passwords and log for good. Raises EmbeddedFault."""
        await self.stop()
        async with self._changing, self._only_one_starts():
            await _in_thread(self._folder.erase)
            self._port = None

    def _ended(self) -> bool:
        return not self._wanted

    @asynccontextmanager
    async def _only_one_starts(self) -> AsyncIterator[None]:
        """Hold the folder's lock: who starts at the same time waits, then attaches."""
        handle = self._folder.open_lock()
        try:
            await self._wait_for_lock(handle)
            yield
        finally:
            os.close(handle)

    async def _wait_for_lock(self, handle: int) -> None:
        ends_s = clock.monotonic_s() + LOCK_S
        while not _locked(handle):
            if clock.monotonic_s() > ends_s:
                raise EmbeddedFault(f"{self.folder}: another start has been at it for {LOCK_S:g} s")
            await asyncio.sleep(POLL_S)

    def _next_port(self) -> int:
        """The port asked for; else the one our callers know; else last time's if free; else a new one."""
        known = self._asked_port or self._port
        if known is not None:
            return known
        self._held.release()
        try:
            return self._held.take(self._folder.remembered_port())
        except NoPort as fault:
            raise EmbeddedFault(f"{self.folder}: {fault}") from fault

    async def _attach(self, pid: int) -> bool:
        """Use the server that runs on the folder as `pid`; False when it ends before it is ready."""
        ends_s = clock.monotonic_s() + START_S
        while self._folder.postmaster() == pid:
            noted = self._folder.pid_file()
            if noted and noted.ready and noted.port:
                if self._asked_port not in (None, noted.port):
                    raise EmbeddedFault(
                        f"{self.folder} is served already, on port {noted.port} and not {self._asked_port}"
                    )
                return await self._confirm(pid, noted.port, ends_s)
            if clock.monotonic_s() > ends_s:
                raise EmbeddedFault(f"{self.folder}: process {pid} holds it, not ready after {START_S:g} s")
            await asyncio.sleep(POLL_S)
        return False

    async def _launch(self, port: int) -> bool:
        """Start a server on `port`; False when the port is taken and another one may be tried."""
        folder = self._folder
        start = folder.log_size()
        child = self._spawn(port)
        ends_s = clock.monotonic_s() + START_S
        while child.poll() is None:
            noted = folder.pid_file()
            if noted and noted.pid == child.pid and noted.ready:
                return await self._confirm(child.pid, port, ends_s)
            if clock.monotonic_s() > ends_s:
                raise EmbeddedFault(f"{self.folder}: not ready after {START_S:g} s, it may be recovering; see its log")
            await asyncio.sleep(POLL_S)
        trouble = folder.trouble_since(start)
        if trouble == PORT_TAKEN:
            if self._asked_port is None and self._port is None:
                return False
            raise EmbeddedFault(f"{self.folder}: port {port} is taken by another program")
        raise EmbeddedFault(f"{self.folder}: PostgreSQL does not start: {trouble}")

    def _spawn(self, port: int) -> "subprocess.Popen[bytes]":
        options = [word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")]
        command = [pg_host.binary("postgres"), "-D", str(self._folder.data), "-p", str(port), *options]
        output = self._folder.open_log()
        try:
            child = pg_host.spawn(self._folder.host(), command, output)
        except OSError as error:
            raise EmbeddedFault(f"{self.folder}: PostgreSQL cannot be run: {error}") from error
        finally:
            os.close(output)
        _children[:] = [other for other in _children if other.poll() is None] + [child]
        return child

    async def _confirm(self, pid: int, port: int, ends_s: float) -> bool:
        """Make sure that what answers on `port` is the server of our folder; False when it ended."""
        self._port, before = port, self._port
        trouble = "no answer"
        while self._folder.postmaster() == pid and clock.monotonic_s() < ends_s:
            try:
                there = await _data_directory(self.url())
            except StoreFault as fault:
                trouble = str(fault)
                if "authentication failed" in trouble:
                    break  # ours would know the password
            else:
                if not self._folder.is_at(there):
                    trouble = f"it serves {there}"
                    break
                self._pid = pid
                self._folder.remember_port(port)
                return True
            await asyncio.sleep(POLL_S)
        self._port = before
        if self._folder.postmaster() != pid:
            return False
        raise EmbeddedFault(f"{self.folder}: what listens on port {port} is not our server: {trouble}")

    async def _bury(self) -> None:
        """Make the folder free of a dead postmaster: its children end or are killed, its pid is forgotten."""
        ends_s = clock.monotonic_s() + ORPHANS_S
        killed = False
        while orphans := self._folder.orphans():
            now_s = clock.monotonic_s()
            if now_s > ends_s and killed:
                raise EmbeddedFault(f"{self.folder}: processes {orphans} cannot be ended")
            if now_s > ends_s:
                log.warning("%s: killing %d processes without postmaster", self.folder, len(orphans))
                for pid in orphans:
                    _signal(pid, signal.SIGKILL)
                killed, ends_s = True, now_s + KILLED_S
            await asyncio.sleep(POLL_S)
        self._folder.forget_pid()
        _children[:] = [child for child in _children if child.poll() is None]

    async def _gone_within(self, pid: int, patience_s: float) -> bool:
        try:
            async with asyncio.timeout(patience_s):
                await self._until_gone(pid)
        except TimeoutError:
            return False
        return True

    async def _until_gone(self, pid: int) -> None:
        """Return when the server's process `pid` has ended, at once when that is so already."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except (AttributeError, OSError):
            while self._folder.postmaster() == pid:  # noqa: ASYNC110 - nothing tells us here
                await asyncio.sleep(WATCH_S)  # a system without pidfd
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        try:
            if self._folder.postmaster() == pid:  # else the pid is a stranger's by now
                loop.add_reader(handle, gone.set)
                await gone.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)


# Kept here until they end: a server outlives the object that started it.
_children: "list[subprocess.Popen[bytes]]" = []


async def _data_directory(url: str) -> str:
    lane = Lane(url, name="hakika embedded")

    async def ask(connection: psycopg.AsyncConnection[Any]) -> str:
        row = await (await connection.execute("SELECT current_setting('data_directory')")).fetchone()
        return str(row[0]) if row else ""

    try:
        return await lane.run(ask, deadline_s=ASK_S)
    finally:
        await lane.close()


async def _in_thread(work: Callable[[], T]) -> T:
    """Blocking work on a thread; when cancelled, wait for its end, so that a lock is held until then."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await task
        raise


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signal(pid: int, number: int) -> bool:
    """Send a signal; False when the process is gone. Raises EmbeddedFault when we may not."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise EmbeddedFault(f"process {pid} belongs to another account; stop it from there") from error
    return True
