"""One embedded server's data folder and the small files beside it: made once, whole or not at all.

initdb writes under a temporary name and the finished folder is renamed into place, so a folder that
exists is complete, whatever moment the power failed. Beside the folder `pg` lie its passwords (0600,
`pg.hakika_super.password` and so on), `pg.port`, `pg.log` and `pg.lock`. A folder that is not ours, not
empty or of another major version is named as such and never touched. Where root must drop to an account
of its own, the folder is a link to one that this account owns, and the rest stays in its place.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hakika import clock
from hakika.store import durable, pg_host
from hakika.store.pg_host import EmbeddedFault, Host

SUPERUSER = "hakika_super"
MAJOR = "18"
PASSWORD_BYTES = 24
INITDB_S = 120
LOG_KEPT_BYTES = 8_000_000
LOG_TAIL_BYTES = 20_000
PORT_TAKEN = "port taken"
USER_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class PidFile:
    """What PostgreSQL wrote in postmaster.pid; `ready` once it takes connections."""

    pid: int
    port: int | None
    ready: bool
    single_user: bool = False


class ServerFolder:
    """The data folder `path` and the files beside it."""

    def __init__(self, path: Path, *, durable_initdb: bool = True) -> None:
        """`durable_initdb=False` skips initdb's fsync: for tests whose data may vanish with the power."""
        self.path = path.parent.resolve() / path.name
        self._durable_initdb = durable_initdb
        self._unfinished = f".{path.name}.new-"

    @property
    def data(self) -> Path:
        """Where the data really is: the folder, or what it links to."""
        return self.path.resolve()

    def is_at(self, place: str) -> bool:
        """Whether `place` is this data folder, by whatever path."""
        return Path(place).exists() and self.data.samefile(place)

    def beside(self, suffix: str) -> Path:
        """A file beside the folder that belongs to it."""
        return self.path.with_name(f"{self.path.name}.{suffix}")

    def host(self) -> Host:
        """How to run programs on this folder: as its owner when it is linked, else the usual way."""
        if not self.path.is_symlink():
            return pg_host.find_host()
        owner = self.data.parent.stat()
        return pg_host.account_host(owner.st_uid, owner.st_gid)

    def open_lock(self) -> int:
        """A descriptor of the lock file, its folder made if need be. Raises EmbeddedFault."""
        try:
            durable.make_private_folder(self.path.parent)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            return os.open(self.beside("lock"), flags, durable.PRIVATE_FILE)
        except OSError as error:
            raise EmbeddedFault(f"{self.path.parent} cannot be written: {error.strerror}") from error

    def examine(self) -> None:
        """Nothing when the folder is absent, empty or ours; else EmbeddedFault naming what does not fit."""
        with _named(self.path):
            if self._occupied():
                self._examine()

    def prepare(self) -> None:
        """Make the folder unless it is there, which `examine` has allowed. Raises EmbeddedFault."""
        with _named(self.path):
            self._remove_remains()
            if not self._occupied():
                self._make()

    def erase(self) -> None:
        """Delete the data and what belongs to them; the server is stopped. Raises EmbeddedFault if not ours."""
        self.examine()
        with _named(self.path):
            home = self.data.parent if self.path.is_symlink() else None
            if self.data.is_dir():
                shutil.rmtree(self.data)
            if home is not None:
                self.path.unlink()
                shutil.rmtree(home)
            for file in self.path.parent.glob(f"{self.path.name}.*"):
                if file != self.beside("lock"):
                    file.unlink()

    def password(self, user: str) -> str:
        """The password of `user`, made and stored (0600, synced) when there is none yet."""
        if not USER_NAME.fullmatch(user):
            raise EmbeddedFault(f"not a user's name: {user!r}")
        file = self.beside(f"{user}.password")
        try:
            return file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            made = clock.secret_bytes(PASSWORD_BYTES).hex()
            durable.write_private_file(file, made + "\n")
            return made

    def remembered_port(self) -> int | None:
        """The port this server had last time."""
        try:
            return int(self.beside("port").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def remember_port(self, port: int) -> None:
        """Keep `port` for the next start."""
        if self.remembered_port() != port:
            durable.write_private_file(self.beside("port"), f"{port}\n")

    def pid_file(self) -> PidFile | None:
        """postmaster.pid as it is now; None when absent or not yet written."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid = int(lines[0])
        except (OSError, ValueError, IndexError):
            return None
        port = int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None
        ready = len(lines) > 7 and lines[7].strip() == "ready"
        return PidFile(abs(pid), port, ready, single_user=pid < 0)

    def postmaster(self) -> int | None:
        """The pid of the server running on this folder, or None.

        A pid that a stranger has taken over since is not mistaken for it: PostgreSQL's processes work
        in their data folder. Where the system cannot tell, a living pid counts.
        """
        noted = self.pid_file()
        inside = pg_host.processes_in(self.data)
        if noted is None:
            return None
        running = pg_host.alive(noted.pid) if inside is None else inside.get(noted.pid) == "postgres"
        if running and noted.single_user:
            raise EmbeddedFault(f"{self.path}: a single-user session, process {noted.pid}, works on it")
        return noted.pid if running else None

    def orphans(self) -> list[int]:
        """Server processes left in the folder by a postmaster that is gone."""
        inside = pg_host.processes_in(self.data) or {}
        return [pid for pid, name in inside.items() if name == "postgres"]

    def forget_pid(self) -> None:
        """Remove a postmaster.pid whose server is gone; its pid may be a stranger's by now.

        Only for a caller who saw no postmaster and no orphans; where the system cannot tell,
        PostgreSQL is left to decide itself.
        """
        if self.data.is_dir() and pg_host.processes_in(self.data) is not None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def open_log(self) -> int:
        """A descriptor that appends to the log; a log grown past 8 MB is set aside first, one is kept."""
        file = self.beside("log")
        if file.exists() and file.stat().st_size > LOG_KEPT_BYTES:
            file.replace(self.beside("log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(file, flags, durable.PRIVATE_FILE)

    def log_size(self) -> int:
        """Bytes in the log now, to be given to `trouble_since`."""
        try:
            return self.beside("log").stat().st_size
        except OSError:
            return 0

    def trouble_since(self, start: int) -> str:
        """What the server complained of, after byte `start` of its log, in one line."""
        try:
            with self.beside("log").open("rb") as file:
                file.seek(max(start, self.log_size() - LOG_TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return "its log cannot be read"
        return complaint(text) or f"no reason given; see {self.beside('log')}"

    def _occupied(self) -> bool:
        if self.path.is_symlink():
            return self.data.is_dir()
        if not self.path.exists():
            return False
        if not self.path.is_dir():
            raise EmbeddedFault(f"{self.path} is not a folder")
        return any(self.path.iterdir())

    def _examine(self) -> None:
        """Refuse, by name, a folder that this server may not use."""
        data = self.data
        version = data / "PG_VERSION"
        if not version.is_file():
            held = ", ".join(sorted(entry.name for entry in data.iterdir())[:3])
            raise EmbeddedFault(
                f"{data} is not empty and holds no PostgreSQL data ({held}); choose another folder, or empty this one"
            )
        owner, ours = data.stat().st_uid, self.host().owner_uid
        if owner != ours:
            raise EmbeddedFault(
                f"{data} belongs to uid {owner}, PostgreSQL would run as uid {ours}: start as its owner, "
                "or allow user namespaces if it was made with them"
            )
        major = version.read_text(encoding="utf-8").strip()
        if major != MAJOR:
            raise EmbeddedFault(
                f"{data} was made by PostgreSQL {major}, the embedded server is {MAJOR}: "
                "dump it with the old version and restore, or use pg_upgrade"
            )
        if not self.beside(f"{SUPERUSER}.password").is_file():
            raise EmbeddedFault(
                f"{data} is a PostgreSQL folder, but {self.beside(f'{SUPERUSER}.password')} is missing: "
                "either Hakika did not make it, or the file was lost and must be restored"
            )
        if data.stat().st_mode & 0o027:
            raise EmbeddedFault(f"{data} is open to others; PostgreSQL demands mode 0700")

    def _make(self) -> None:
        """initdb beside the final place, then rename: the folder appears complete or not at all."""
        host = pg_host.find_host()
        if host.prefix and not pg_host.root_may_pass(self.path.parent):
            host = pg_host.account_host(*pg_host.account_ids())
        if host.uid is not None:
            host = self._link_home(host)
        elif self.path.is_symlink():
            raise EmbeddedFault(f"{self.path} links to {self.data}, which is missing")
        data = self.data
        work = Path(tempfile.mkdtemp(prefix=self._unfinished, dir=data.parent))
        secret = work / "password"
        secret.touch(mode=durable.PRIVATE_FILE)
        secret.write_text(self.password(SUPERUSER), encoding="utf-8")
        if host.uid is not None and host.gid is not None:
            os.chown(work, host.uid, host.gid)
            os.chown(secret, host.uid, host.gid)
        self._initdb(host, work / "data", secret)
        if data.is_dir():
            data.rmdir()  # empty, or _occupied would have said so
        (work / "data").rename(data)
        durable.sync_folder(data.parent)
        shutil.rmtree(work)

    def _link_home(self, host: Host) -> Host:
        """Point the folder at a home that the account dropped to owns; an earlier, unfinished one is used."""
        if not self.path.is_symlink():
            home = pg_host.make_home(host)
            if self.path.is_dir():
                self.path.rmdir()
            self.path.symlink_to(home / "data")
            durable.sync_folder(self.path.parent)
        return self.host()

    def _initdb(self, host: Host, target: Path, secret: Path) -> None:
        options = ["-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"]
        options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += ["--data-checksums", "--no-instructions"]
        if not self._durable_initdb:
            options.append("--no-sync")
        log = self.open_log()
        start = self.log_size()
        try:
            process = pg_host.spawn(host, [pg_host.binary("initdb"), "-D", str(target), *options], log)
            try:
                status = process.wait(INITDB_S)
            except BaseException as error:
                process.kill()
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise EmbeddedFault(f"initdb took longer than {INITDB_S} s on {target}") from error
                raise
        finally:
            os.close(log)
        if status != 0:
            raise EmbeddedFault(f"initdb failed on {self.path}: {self.trouble_since(start)}")

    def _remove_remains(self) -> None:
        """Remove what an interrupted initdb left; one that still runs, orphaned, harms only its own."""
        for place in {self.path.parent, self.data.parent}:
            for work in place.glob(f"{self._unfinished}*"):
                shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedFault(f"{path}: {error.strerror or error} ({error.filename})") from error


def complaint(text: str) -> str:
    """The reason in a server's or initdb's output, in one line; empty when there is none."""
    if "Address already in use" in text:
        return PORT_TAKEN
    if "No space left on device" in text:
        return "the disk is full (No space left on device)"
    marks = ("FATAL:", "PANIC:", "ERROR:", "initdb: error:", "initdb: detail:", "unshare:")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if any(mark in line for mark in marks)]
    return "; ".join(marked[-3:] or lines[-3:])
