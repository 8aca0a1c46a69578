"""One child process of the supervisor: started, watched, started again when it dies, killed on command.

As a production supervisor would: a process that dies comes back after a short pause, which grows while it dies
young. A file beside its log names the process with the instant at which it began, so that a supervisor that was
killed itself finds its left-over children later, and takes no stranger for one of them.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hakika import clock
from hakika.store.durable import write_private_file

PAUSE_FIRST_S = 0.2
PAUSE_MAX_S = 5.0
YOUNG_S = 5.0  # dying sooner than this after its start makes the next pause longer
STOP_S = 12.0
KILLED_S = 5.0
LOG_KEPT_BYTES = 16_000_000
# Variables of ours that a child keeps; settings of the supervisor's shell must not leak into every role.
KEPT_VARIABLES = frozenset({"HAKIKA_XSD_DIR"})

log = logging.getLogger(__name__)


class Child:
    """A process named `name` that runs `arguments` with this interpreter, for as long as it is wanted."""

    def __init__(
        self, name: str, arguments: list[str], log_folder: Path, extra: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._log_folder = log_folder
        self._extra = dict(extra or {})
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._unwanted = asyncio.Event()
        self._unwanted.set()
        self._may_run = asyncio.Event()
        self._may_run.set()
        self.starts = 0
        self.began_s = 0.0

    @property
    def pid(self) -> int | None:
        """The running process; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it and keep it running until `stop`."""
        self._unwanted.clear()
        await self._spawn()
        self._task = asyncio.create_task(self._watch(), name=f"watch {self.name}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL; it is not started again."""
        self._unwanted.set()
        self._may_run.set()
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                log.error("%s: still running %g s after SIGTERM, killed", self.name, STOP_S)
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL now; it comes back by itself."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()

    def hold(self) -> None:
        """Once dead, it stays dead until `let_go`."""
        self._may_run.clear()

    def let_go(self) -> None:
        """It may run again."""
        self._may_run.set()

    @property
    def _pid_file(self) -> Path:
        return self._log_folder / f"{self.name}.pid"

    async def _spawn(self) -> None:
        file = self._log_folder / f"{self.name}.log"
        if file.exists() and file.stat().st_size > LOG_KEPT_BYTES:
            file.replace(file.with_suffix(".log.1"))
        output = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(self._extra),
                start_new_session=True,  # a terminal's Ctrl-C is the supervisor's, which stops children in order
            )
        finally:
            os.close(output)
        self.starts += 1
        self.began_s = clock.monotonic_s()
        note = {"pid": self._process.pid, "began": began(self._process.pid)}
        write_private_file(self._pid_file, json.dumps(note) + "\n")

    async def _watch(self) -> None:
        pause_s = PAUSE_FIRST_S
        while not self._unwanted.is_set() and self._process is not None:
            code = await self._process.wait()
            if self._unwanted.is_set():
                return
            young = clock.monotonic_s() - self.began_s < YOUNG_S
            log.warning("%s ended (%s), starting it again", self.name, code)
            pause_s = min(pause_s * 2, PAUSE_MAX_S) if young and self.starts > 1 else PAUSE_FIRST_S
            await asyncio.sleep(pause_s)
            await self._may_run.wait()
            if self._unwanted.is_set():
                return
            try:
                await self._spawn()
            except OSError as error:
                log.error("%s cannot be started: %s", self.name, error)


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a child inherits: no setting of ours from the shell, unbuffered output, what `extra` says."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("HAKIKA_") or name in KEPT_VARIABLES
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


def began(pid: int) -> str | None:
    """When a living process began, in the kernel's own ticks since boot; None when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


async def clear_left_over(log_folder: Path) -> list[str]:
    """End children that a killed supervisor left behind; their names. A pid that a stranger has now is spared.

    SIGKILL at once: such a child has no supervisor, and everything it owes is in its database.
    """
    left = await asyncio.to_thread(_left_over, log_folder)
    for pid, _ in left.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(KILLED_S):
            while any(began(pid) == since for pid, since in left.values()):  # noqa: ASYNC110 - not our children
                await asyncio.sleep(0.02)
    return sorted(left)


def _left_over(log_folder: Path) -> dict[str, tuple[int, str]]:
    """Living processes that the files beside the logs name; the files are removed."""
    left: dict[str, tuple[int, str]] = {}
    for file in log_folder.glob("*.pid"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(file.read_text("utf-8"))
            pid, since = int(note["pid"]), note["began"]
            if since is not None and began(pid) == since:
                left[file.stem] = (pid, since)
        file.unlink(missing_ok=True)
    return left
