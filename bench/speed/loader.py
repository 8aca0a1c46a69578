"""The load generator as a process of its own: make the requests, say `ready`, wait for `go`, run, tell the outcome.

`python -m bench.speed.loader KIND` reads a JSON object of settings from its first line of input (a bearer token is
among them, so nothing of it is on a command line) and writes one JSON line at the end; waits go to a file of doubles.
"""

import asyncio
import importlib
import json
import sys
from array import array
from pathlib import Path
from typing import Any

from bench.speed.loop import Outcome

KINDS = {
    "entries": "bench.speed.load_entries",
    "transfers": "bench.speed.load_transfers",
    "drain": "bench.speed.load_drain",
    "overload": "bench.speed.load_overload",
    "hour": "bench.speed.load_hour",
}


class Loader:
    """A load generator under our control."""

    def __init__(self, kind: str, settings: dict[str, Any], folder: Path) -> None:
        self._kind = kind
        self._waits = folder / "waits.f64"
        self._settings = {**settings, "waits_file": str(self._waits)}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Loader":
        """Started, its requests made."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.speed.loader",
            self._kind,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await self._tell(json.dumps(self._settings))
        await self._hear("ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Gone, whatever happened."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._process is not None:
            await self._process.wait()
        self._waits.unlink(missing_ok=True)

    async def go(self) -> "tuple[dict[str, Any], array[float]]":
        """Run; what it counted (`count`, `seconds`, `cpu_share` and what its kind adds), and the waits in seconds."""
        await self._tell("go")
        told: dict[str, Any] = json.loads(await self._hear("{"))
        waits: array[float] = array("d")
        waits.frombytes(self._waits.read_bytes())
        return told, waits

    @staticmethod
    def cost_ms(told: dict[str, Any]) -> float:
        """Milliseconds of its own processor time for each unit of work."""
        return round(1000 * float(told["cpu_s"]) / max(1, int(told["answered"])), 4)

    async def _tell(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def _hear(self, prefix: str) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        if not line.startswith(prefix):
            raise RuntimeError(f"the load generator ended: {line!r}; its error is above")
        return line


def tell(outcome: Outcome, waits_file: str, **more: Any) -> None:
    """Write the outcome for whoever started us."""
    Path(waits_file).write_bytes(outcome.waits_s.tobytes())
    told = {"count": outcome.count, "seconds": outcome.seconds, "cpu_share": outcome.cpu_share, "cpu_s": outcome.cpu_s}
    print(json.dumps({**told, "answered": outcome.answered, **more}), flush=True)


def main() -> None:
    """The process."""
    kind = importlib.import_module(KINDS[sys.argv[1]])
    settings = json.loads(sys.stdin.readline())
    run = kind.prepare(settings)
    print("ready", flush=True)
    if sys.stdin.readline().strip() == "go":
        run()


if __name__ == "__main__":
    main()
