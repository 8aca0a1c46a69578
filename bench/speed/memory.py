"""Memory that belongs to a process: what would be free again if it ended, PostgreSQL's shared buffers left out.

The proportional set size of the kernel counts a page that several processes share to each of them in part; its share
of shared memory, which is where PostgreSQL keeps its buffers, is taken off.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

PROC = Path("/proc")
KIB = 1024


def owned_bytes(pid: int) -> int:
    """Proportional set size less its part in shared memory; 0 for a process that has gone."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    fields = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:] if line.endswith("kB")}
    return KIB * (fields.get("Pss", 0) - fields.get("Pss_Shmem", 0))


def sessions(root: Path) -> dict[int, str]:
    """Living processes that name `root` in their command line or run there, by pid: which program they are."""
    needle = str(root.resolve())
    found: dict[int, str] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            where = str((entry / "cwd").readlink())
        except OSError:
            continue
        if needle in words or where.startswith(needle):
            found[int(entry.name)] = words
    return found


def total(pids: Iterable[int]) -> int:
    """Of several processes together, in bytes."""
    return sum(map(owned_bytes, pids))


async def watched(pids: Callable[[], Iterable[int]], every_s: float) -> list[int]:
    """Of these together, in bytes, every so many seconds until cancelled; who they are is asked each time."""
    seen: list[int] = []
    try:
        while True:
            seen.append(total(pids()))
            await asyncio.sleep(every_s)
    except asyncio.CancelledError:
        return seen
