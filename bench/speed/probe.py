"""What the machine is: how long its disk takes to say that something is written, and what else moves a figure."""

import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

PROBES = 300
BLOCK = b"\0" * 8192


def fsync_us(folder: Path) -> float:
    """Median of write-and-fdatasync of one 8 kB block, in microseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "fsync-probe"
    took = []
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(PROBES):
            begun = time.perf_counter()
            os.pwrite(handle, BLOCK, 0)
            os.fdatasync(handle)
            took.append(time.perf_counter() - begun)
    finally:
        os.close(handle)
        file.unlink()
    return 1e6 * statistics.median(took)


def machine(folder: Path) -> dict[str, Any]:
    """Cores, memory, versions and the fsync probe: what stands beside every figure."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory_gib, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "fsync_us": round(fsync_us(folder), 1),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
