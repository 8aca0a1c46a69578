"""The publisher swaps a whole page for a whole page: killed or refused at any call, readers get old or new entire."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hakika.domain.reasons import InvariantBroken
from hakika.health.page.publisher import KEEP, PublishFault, live_version, publish

NOW_MS = 1_785_150_130_000
OLD = {"index.html": b"old", "en/index.html": b"old en", "en/gone.html": b"only old"}
NEW = {"index.html": b"new", "en/index.html": b"new en" * 1000, "sw/index.html": b"new sw", "status.json": b"{}"}
CALLS = (
    "open", "mkdir", "chmod", "fchmod", "write", "fsync", "close", "rename", "replace", "symlink", "unlink", "rmdir",
    "scandir", "listdir",
)  # fmt: skip
VERSIONS_AT_MOST = KEEP + 1  # one more until the next call clears it

# Publishes NEW and is killed just before its nth call into the system; without a number it counts them.
CHILD = f"""
import os, signal, sys
from pathlib import Path
from hakika.health.page.publisher import publish
left = int(sys.argv[2])
def armed(call):
    def instead(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return instead
for name in {CALLS!r}:
    setattr(os, name, armed(getattr(os, name)))
publish(Path(sys.argv[1]), {NEW!r}, as_of_ms={NOW_MS})
print(-left)
"""


def shown(folder: Path) -> dict[str, bytes]:
    """What a web server with its root at `current` would serve."""
    root = folder / "current"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that shows OLD, with two versions before it."""
    for _ in range(3):
        publish(tmp_path, OLD, as_of_ms=NOW_MS)
    return tmp_path


def child(folder: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(folder), str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_published_folder_holds_exactly_the_files(tmp_path: Path) -> None:
    assert live_version(tmp_path) is None
    done = publish(tmp_path, OLD, as_of_ms=NOW_MS)
    assert done.version == live_version(tmp_path) == "20260727T110210Z-000001"
    assert shown(tmp_path) == OLD
    publish(tmp_path, NEW, as_of_ms=NOW_MS - 10**9)
    assert shown(tmp_path) == NEW
    assert live_version(tmp_path) == "20260715T211530Z-000002"
    assert (tmp_path / "current").readlink() == Path("20260715T211530Z-000002")


def test_a_web_server_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        done = publish(tmp_path, NEW, as_of_ms=NOW_MS)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in done.path.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (done.path, done.path / "en")} == {0o755}


def test_old_versions_go_and_the_live_one_never(tmp_path: Path) -> None:
    for _ in range(KEEP + 4):
        done = publish(tmp_path, OLD, as_of_ms=NOW_MS)
    versions = sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink())
    assert len(versions) == KEEP and versions[-1] == done.version and done.left == ()
    # Rolled back by hand to the oldest: it is live, so it stays, however old.
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(versions[0])
    failed = tmp_path / (versions[-1] + ".part")
    failed.mkdir()
    publish(tmp_path, NEW, as_of_ms=NOW_MS, keep=1)
    assert shown(tmp_path) == NEW and not failed.exists()


def test_killed_before_any_call_it_shows_old_or_new_entire_and_goes_on(folder: Path, tmp_path_factory: Any) -> None:
    calls = int(child(folder, -1).stdout) - 1
    assert calls > 40
    seen = []
    for kill_at in range(1, calls + 1):
        publish(folder, OLD, as_of_ms=NOW_MS)
        assert child(folder, kill_at).returncode == -signal.SIGKILL
        seen.append(shown(folder))
        assert seen[-1] in (OLD, NEW), kill_at
        assert sum(path.is_dir() and not path.is_symlink() for path in folder.iterdir()) <= VERSIONS_AT_MOST
    changes = sum(before != after for before, after in pairwise(seen))
    assert seen[0] == OLD and seen[-1] == NEW and changes == 1
    publish(folder, NEW, as_of_ms=NOW_MS)
    assert len(list(folder.iterdir())) == KEEP + 2  # the link and the lock


class Refusing:
    """Stands in for `os` calls and lets the nth fail; records what is done in order."""

    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int, number: int) -> None:
        self.done: list[tuple[str, object]] = []
        self.refused = False
        self._left, self._errno = fail_at, number
        for name in CALLS:
            patch.setattr(os, name, self._armed(name, getattr(os, name)))

    def _armed(self, name: str, call: Any) -> Any:
        def instead(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self.refused = True
                if name == "close":  # a close that reports an error has closed
                    call(*args, **kwargs)
                raise OSError(self._errno, os.strerror(self._errno))
            result = call(*args, **kwargs)
            self.done.append((name, result if name == "open" else args[0]))
            return result

        return instead


def _refusals() -> Iterator[tuple[int, str]]:
    yield errno.ENOSPC, "free space"
    yield errno.EROFS, "read-only"
    yield errno.EIO, "disk is failing"


@pytest.mark.parametrize(("number", "advice"), list(_refusals()))
def test_refused_at_any_call_nothing_is_half_published(folder: Path, number: int, advice: str) -> None:
    outcomes = []
    for fail_at in range(1, 500):
        publish(folder, OLD, as_of_ms=NOW_MS)
        with pytest.MonkeyPatch.context() as patch:
            refusing = Refusing(patch, fail_at, number)
            try:
                done = publish(folder, NEW, as_of_ms=NOW_MS)
            except PublishFault as fault:
                outcomes.append("live" if fault.live else "old")
                assert advice in str(fault) and str(folder) in str(fault)
            else:
                outcomes.append("new" if not done.left else "left")
        assert shown(folder) == (OLD if outcomes[-1] == "old" else NEW), fail_at
        if not refusing.refused:
            break  # there are fewer calls than that
    assert {"old", "live", "new", "left"} == set(outcomes)
    publish(folder, NEW, as_of_ms=NOW_MS)
    assert len(list(folder.iterdir())) == KEEP + 2


def test_everything_is_synced_before_the_rename_and_the_rename_after(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        done = Refusing(patch, 10**6, 0).done
        publish(folder, NEW, as_of_ms=NOW_MS)
    names = [name for name, _ in done]
    swap = names.index("replace")
    written = {handle for name, handle in done[:swap] if name == "write"}
    # A number may be given to a folder's handle later, so it is counted: each file once, each folder once, the root.
    assert names[:swap].count("fsync") == len(NEW) + 3 + 1
    assert len(written) == len(NEW)
    assert "write" not in names[swap:]
    assert "fsync" in names[swap + 1 : swap + 4]


def test_what_to_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(PublishFault, match="folder is gone: mount or create it") as gone:
        publish(tmp_path / "unmounted", NEW, as_of_ms=NOW_MS)
    assert not gone.value.live and not (tmp_path / "unmounted").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishFault, match="not a folder"):
        publish(tmp_path / "file", NEW, as_of_ms=NOW_MS)
    (tmp_path / "site" / "current").mkdir(parents=True)
    with pytest.raises(PublishFault, match="move it away"):
        publish(tmp_path / "site", NEW, as_of_ms=NOW_MS)
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == [".lock", "current"]


def test_only_one_publishes_at_a_time(tmp_path: Path) -> None:
    holder = "import fcntl, os, sys; h = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); fcntl.flock(h, fcntl.LOCK_EX)"
    with subprocess.Popen(
        [sys.executable, "-c", holder + "; print('held', flush=True); sys.stdin.read()", str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(PublishFault, match="another process is publishing"):
            publish(tmp_path, NEW, as_of_ms=NOW_MS)
        other.communicate(timeout=30)
    publish(tmp_path, NEW, as_of_ms=NOW_MS)


def test_readers_meet_old_or_new_while_it_is_published_over_and_over(tmp_path: Path) -> None:
    publish(tmp_path, OLD, as_of_ms=NOW_MS)
    done = threading.Event()

    def writer() -> None:
        for number in range(200):
            publish(tmp_path, (NEW, OLD)[number % 2], as_of_ms=NOW_MS)
        done.set()

    thread = threading.Thread(target=writer)
    thread.start()
    met = set()
    while not done.is_set():
        met.add((tmp_path / "current" / "en" / "index.html").read_bytes())
    thread.join(timeout=60)
    assert met == {OLD["en/index.html"], NEW["en/index.html"]}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, timeout=30, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], timeout=30, check=False)


@pytest.mark.needs_root
def test_a_disk_that_is_really_full_keeps_the_page_and_gets_its_space_back(small_disk: Path) -> None:
    publish(small_disk, OLD, as_of_ms=NOW_MS)
    big = {f"en/{number}.html": b"x" * 40_000 for number in range(10)}
    for _ in range(3):
        with pytest.raises(PublishFault, match="the disk is full: free space there; the one before is still shown"):
            publish(small_disk, big, as_of_ms=NOW_MS)
        assert shown(small_disk) == OLD
    assert not list(small_disk.glob("*.part"))
    publish(small_disk, NEW, as_of_ms=NOW_MS)
    assert shown(small_disk) == NEW
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], timeout=30, check=True)
    with pytest.raises(PublishFault, match="read-only"):
        publish(small_disk, OLD, as_of_ms=NOW_MS)
    assert shown(small_disk) == NEW


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", ".hidden", "a/../b", "", "a\\b", "a b", "a/.lock", "a\n"])
def test_a_name_that_leads_elsewhere_is_a_bug(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvariantBroken):
        publish(tmp_path, {path: b""}, as_of_ms=NOW_MS)
    with pytest.raises(InvariantBroken):
        publish(tmp_path, {"a": b"", "a/b": b""}, as_of_ms=NOW_MS)
    assert list(tmp_path.iterdir()) == []


def test_more_files_than_may_be_open_at_once(tmp_path: Path) -> None:
    many = {f"en/incident-{number}.html": b"x" for number in range(3000)}
    publish(tmp_path, many, as_of_ms=NOW_MS)
    assert shown(tmp_path) == many
