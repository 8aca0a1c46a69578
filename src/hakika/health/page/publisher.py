"""Puts a whole status page in the place of the last one: a reader gets the old or the new, never a part or a mix.

Everything is written into a fresh folder beside the live one, every file and folder is synced, the folder gets its
final name, and a symbolic link `current` is renamed over the old link: that rename is the moment of publishing. A
crash before it leaves the old page, after it the new one, and what it left behind is cleared by the next call.
Versions before the live one are kept for slow readers and removed beyond `KEEP`. What the disk refuses is a
`PublishFault` that says what to do; the page published before stays as it is. Blocking: call it from a thread.
"""

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hakika.domain.reasons import InvariantBroken
from hakika.health.page.words import local_time
from hakika.store.durable import sync_folder

CURRENT = "current"
OPEN_FILES_MAX = 32
KEEP = 3  # versions that stay, the live one among them
READABLE_FILE = 0o644  # whatever the role's umask: a web server reads them
READABLE_FOLDER = 0o755
_LINK_BESIDE = ".current.new"
_LOCK = ".lock"
_PART = ".part"
_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-([0-9]{6,})", re.ASCII)
_FILE = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)*[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)

ADVICE = {
    errno.ENOSPC: "the disk is full: free space there",
    errno.EDQUOT: "the quota is used up: free space there or raise it",
    errno.EROFS: "the disk is read-only: mount it for writing, and look at why it was not",
    errno.EACCES: "no permission: let the health role's user write there",
    errno.EPERM: "no permission: let the health role's user write there",
    errno.ENOENT: "the folder is gone: mount or create it",
    errno.ENOTDIR: "the folder is not a folder: put one in its place",
    errno.EISDIR: "`current` there is a folder and not ours: move it away",
    errno.EIO: "the disk is failing: publish to another one",
    errno.EWOULDBLOCK: "another process is publishing there: only one may",
}


class PublishFault(Exception):
    """The page could not be published; `live` tells whether the new one is nevertheless what readers get."""

    def __init__(self, folder: Path, cause: OSError, *, live: bool) -> None:
        self.folder = folder
        self.live = live
        self.advice = ADVICE.get(cause.errno or 0, "look at the folder and its disk")
        state = "the new page is shown, and lost if the power fails now" if live else "the one before is still shown"
        super().__init__(f"status page in {folder}: {self.advice}; {state} ({cause})")


@dataclass(frozen=True, slots=True)
class Published:
    """What readers get from now on; `left` are old versions that could not be removed."""

    version: str
    path: Path
    left: tuple[str, ...]


def publish(folder: Path, files: Mapping[str, bytes], *, as_of_ms: int, keep: int = KEEP) -> Published:
    """Make `files` (by relative path) what `folder`/current shows; `folder` must exist, so that a page is never
    written into the place where a disk should be mounted. Raises `PublishFault`.
    """
    _check(files)
    live = False
    try:
        with _alone(folder):
            _clear(folder)
            version = _next_version(folder, as_of_ms)
            part = folder / (version + _PART)
            try:
                _write_all(part, files)
                part.rename(folder / version)
                sync_folder(folder)
                _point_at(folder, version)
            except OSError:
                _forget(folder, version)
                raise
            live = True
            sync_folder(folder)
            return Published(version, folder / version, _prune(folder, keep))
    except OSError as error:
        raise PublishFault(folder, error, live=live) from error


def live_version(folder: Path) -> str | None:
    """The version that readers get; None when nothing was ever published there."""
    try:
        target = (folder / CURRENT).readlink().name
    except OSError:
        return None
    return target if _VERSION.fullmatch(target) else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process publishes into a folder; the lock ends with the process, however it ends."""
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _check(files: Mapping[str, bytes]) -> None:
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    for path in files:
        if not _FILE.fullmatch(path) or path in folders:
            raise InvariantBroken(f"status page: {path!r} is no file of a page")


def _clear(folder: Path) -> None:
    """What a crash left behind: half-written versions and a link that was never renamed."""
    for path in list(folder.iterdir()):
        if path.name.endswith(_PART) and _VERSION.fullmatch(path.name.removesuffix(_PART)):
            shutil.rmtree(path)
    (folder / _LINK_BESIDE).unlink(missing_ok=True)


def _versions(folder: Path) -> list[tuple[int, str]]:
    """Whole versions with their numbers, oldest first."""
    matches = (_VERSION.fullmatch(path.name) for path in folder.iterdir())
    return sorted((int(match.group(1)), match.group(0)) for match in matches if match)


def _next_version(folder: Path, as_of_ms: int) -> str:
    """Numbers only rise, whatever the clock does."""
    number = max((number for number, _ in _versions(folder)), default=0) + 1
    return f"{local_time(as_of_ms, 'UTC'):%Y%m%dT%H%M%SZ}-{number:06}"


def _write_all(part: Path, files: Mapping[str, bytes]) -> None:
    """Every file in batches, written and then synced: so the disk works on one while the next is handed over."""
    folders = {part}
    _make_folder(part)
    for batch in _batches(sorted(files)):
        handles: list[int] = []
        try:
            for name in batch:
                _make_parents(part, name, folders)
                handles.append(_written(part / name, files[name]))
            for handle in handles:
                os.fsync(handle)
        finally:
            for handle in handles:
                os.close(handle)
    for inner in sorted(folders, reverse=True):
        sync_folder(inner)


def _batches(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), OPEN_FILES_MAX):
        yield names[start : start + OPEN_FILES_MAX]


def _make_parents(part: Path, name: str, made: set[Path]) -> None:
    for parent in reversed(PurePosixPath(name).parents):
        if part / parent not in made:
            _make_folder(part / parent)
            made.add(part / parent)


def _make_folder(path: Path) -> None:
    path.mkdir()
    path.chmod(READABLE_FOLDER)


def _written(path: Path, content: bytes) -> int:
    """A new file with its content, not yet synced; the open handle."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, READABLE_FILE)
    try:
        os.fchmod(handle, READABLE_FILE)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
    except BaseException:
        os.close(handle)
        raise
    return handle


def _point_at(folder: Path, version: str) -> None:
    """The moment of publishing: one rename, relative, so that the folder may be mounted elsewhere."""
    beside = folder / _LINK_BESIDE
    beside.symlink_to(version)
    beside.replace(folder / CURRENT)


def _forget(folder: Path, version: str) -> None:
    """Give back the space of a version that nobody will see; whatever fails here is cleared by the next call."""
    if live_version(folder) == version:
        return
    for name in (version + _PART, version):
        shutil.rmtree(folder / name, ignore_errors=True)
    with suppress(OSError):
        (folder / _LINK_BESIDE).unlink(missing_ok=True)


def _prune(folder: Path, keep: int) -> tuple[str, ...]:
    """Remove the oldest versions beyond `keep`, never the live one; the names of those that would not go."""
    live = live_version(folder)
    left = []
    for _, name in _versions(folder)[: -max(1, keep)]:
        if name == live:
            continue
        try:
            shutil.rmtree(folder / name)
        except OSError:
            left.append(name)
    return tuple(left)
