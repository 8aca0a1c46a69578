"""The state folder of one platform: what lies where, and how it gets there durably.

A folder that is not ours is never touched: ours carries a marker from the first moment, and starting afresh
removes a folder with the marker and no other. Keys, tokens and settings are 0600 in folders 0700, written whole
and synced, because a settings file that is empty after a power cut is worse than none. One supervisor holds the
folder at a time.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from hakika import clock
from hakika.store.durable import make_private_folder, write_private_file
from hakika.store.ports import HeldPorts
from hakika.wire import jws

MARKER = "hakika-state.json"
LAYOUT = 1
TOKEN_BYTES = 24

Value = str | int | float | bool | Sequence[str]


class FolderRefused(Exception):
    """The folder cannot be used; the message says why and what to do."""


class StateFolder:
    """Paths and small files under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    # --- what lies where

    @property
    def keys(self) -> Path:
        """Ed25519 keys, tokens and database URLs."""
        return self.path / "keys"

    @property
    def log(self) -> Path:
        """Logs, one file a process."""
        return self.path / "log"

    @property
    def ready_file(self) -> Path:
        """Written when everything answers, removed when it stops."""
        return self.path / "ready.json"

    @property
    def control_socket(self) -> Path:
        """Where `hakika break`, `mend` and `links` speak to the supervisor."""
        return self.path / "control.sock"

    def postgres(self, role: str) -> Path:
        """Data folder of one role's server."""
        return self.path / role / "pg"

    def settings(self, process: str) -> Path:
        """Settings file of one process."""
        return self.path / process / "settings.toml"

    def books(self, bank: str) -> Path:
        """A bank's books."""
        return self.path / bank / "books.sqlite"

    # --- making, holding and removing it

    def prepare(self) -> None:
        """Make the folder ours and hold it, or FolderRefused. What is in it stays."""
        self._check_ours()
        try:
            make_private_folder(self.path)
            self._take_lock()
            self._furnish()
        except OSError as error:
            raise FolderRefused(f"{self.path}: {error.strerror or error}") from error

    def empty(self) -> None:
        """Start over: remove everything in a folder that we hold. Nothing may run on it any more."""
        try:
            self._remove_all()
            self._furnish()
        except OSError as error:
            raise FolderRefused(f"{self.path}: {error.strerror or error}") from error

    def _furnish(self) -> None:
        for folder in (self.keys, self.log):
            make_private_folder(folder)
        if not (self.path / MARKER).exists():
            write_private_file(self.path / MARKER, json.dumps({"layout": LAYOUT, "made_ms": clock.now_ms()}) + "\n")

    def held_elsewhere(self) -> bool:
        """A living supervisor holds this folder."""
        file = self.path / "up.lock"
        try:
            handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def release(self) -> None:
        """Let another supervisor have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check_ours(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise FolderRefused(f"{self.path} is not a folder")
        try:
            entries = [entry.name for entry in self.path.iterdir()]
        except OSError as error:
            raise FolderRefused(f"{self.path}: {error.strerror}") from error
        marker = self.path / MARKER
        if not marker.exists():
            foreign = sorted(name for name in entries if name != "up.lock")
            if foreign:
                raise FolderRefused(
                    f"{self.path} holds other things ({', '.join(foreign[:3])}) and no {MARKER}: "
                    "it is left as it is; name another folder with --state"
                )
            return
        layout = json.loads(marker.read_text("utf-8") or "{}").get("layout")
        if layout != LAYOUT:
            raise FolderRefused(f"{self.path} was made by another version (layout {layout}, here {LAYOUT})")

    def _take_lock(self) -> None:
        handle = os.open(self.path / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise FolderRefused(f"{self.path} is in use by a running platform") from error
        self._lock = handle

    def _remove_all(self) -> None:
        """Everything but lock and marker; a data folder that lives elsewhere loses its link and its data."""
        for entry in self.path.iterdir():
            if entry.name in ("up.lock", MARKER):
                continue
            for link in (entry / "pg",) if entry.is_dir() else ():
                if link.is_symlink():
                    shutil.rmtree(link.resolve().parent, ignore_errors=True)
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    # --- small files

    def remembered(self, name: str) -> dict[str, object]:
        """A small JSON file written by `remember`; empty when there is none."""
        try:
            content = json.loads((self.path / name).read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def remember(self, name: str, content: Mapping[str, object]) -> None:
        """Write a small JSON file, durable when this returns."""
        write_private_file(self.path / name, json.dumps(content, indent=1) + "\n")

    def ports(self, names: Sequence[str], held: HeldPorts) -> dict[str, int]:
        """One port a name, held: last time's where it is free, else a new one; remembered. Raises ports.NoPort."""
        before = self.remembered("ports.json")
        known = {name: port for name, port in before.items() if isinstance(port, int)}
        ports = {name: held.take(known.get(name)) for name in names}
        if ports != before:
            self.remember("ports.json", ports)
        return ports

    def token(self, name: str) -> Path:
        """A file with a secret of ours, made once."""
        file = self.keys / f"{name}.token"
        if not file.exists():
            write_private_file(file, clock.secret_bytes(TOKEN_BYTES).hex() + "\n")
        return file

    def key_pair(self, name: str) -> tuple[Path, Path]:
        """Files of a private key and its public key, made once."""
        private, public = self.keys / f"{name}.pem", self.keys / f"{name}.pub.pem"
        if not private.exists():
            made, _ = jws.new_key_pair()
            write_private_file(private, jws.private_pem(made).decode("ascii"))
        if not public.exists():
            key = jws.load_private_key(private).public_key()
            write_private_file(public, jws.public_pem(key).decode("ascii"))
        return private, public

    def secret(self, name: str, content: str) -> Path:
        """A file that holds `content`, rewritten where it differs."""
        file = self.keys / name
        if not file.exists() or file.read_text("utf-8").strip() != content:
            write_private_file(file, content + "\n")
        return file

    def write_settings(
        self, process: str, values: Mapping[str, Value], tables: Mapping[str, Sequence[Mapping[str, Value]]]
    ) -> Path:
        """The settings file of one process; each list of `tables` becomes tables of its name."""
        lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
        for name, rows in tables.items():
            for row in rows:
                lines += ["", f"[[{name}]]", *(f"{key} = {_toml(value)}" for key, value in row.items())]
        file = self.settings(process)
        make_private_folder(file.parent)
        write_private_file(file, "\n".join(lines) + "\n")
        return file


def _toml(value: Value) -> str:
    """A TOML value; JSON's strings, numbers and arrays of strings are TOML's as well."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(list(value), ensure_ascii=False)
