"""Small files and folders that are still there, whole, after the power fails.

A file that was written but not synced may be empty or gone after a power cut, and a server then refuses to
start. So what is written at start-up (passwords, ports, settings, keys) goes through here: a temporary name,
fsync of the file, rename, fsync of the folder. A reader sees the old content or the new, never a part.
What is made here is private to its owner, unless its name says public; permissions of what exists already are never
changed.
"""

import os
from pathlib import Path

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
PUBLIC_FOLDER = 0o755
PUBLIC_FILE = 0o644


def sync_folder(folder: Path) -> None:
    """Make names created, renamed or removed in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_private_folder(folder: Path) -> None:
    """Create `folder` and its missing parents with mode 0700; existing ones are left as they are."""
    missing: list[Path] = []
    here = folder
    while not here.exists():
        missing.append(here)
        here = here.parent
    for made in reversed(missing):
        made.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        sync_folder(made.parent)


def write_private_file(path: Path, content: str) -> None:
    """Replace `path` with `content`, mode 0600, durable when this returns."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_public_file(path: Path, content: bytes) -> None:
    """Replace `path` with `content` for anybody to read, whole at every instant and durable when this returns."""
    path.parent.mkdir(mode=PUBLIC_FOLDER, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, PUBLIC_FILE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
