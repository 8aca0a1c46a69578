#!/usr/bin/env python3
"""Replays the outages beside the seed, one after the other, and prints one table about all of them.

    tools/scenarios.py                          every outage of outages/ but the seed's, 11 to 16 minutes each
    tools/scenarios.py 2018-12-08 2024-01-09    these
    tools/scenarios.py --quick                  each at several times its speed, about two minutes: nothing is
                                                judged about detection then, the promises are
    tools/scenarios.py --table                  the table alone, of the runs that are there

A run that fails does not stop the others. Exit status 0 where every promise was kept and, in whole runs with health,
every outage was seen, said, named and closed right, with nothing false; 1 otherwise.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SEED = "2023-07-27"
LIMIT_S = 2400
HEADS = ("outage", "verdict", "accepted", "back", "seen after", "on the page", "named", "closed", "false")


def names() -> list[str]:
    """Every outage but the one that `make demo` plays."""
    return sorted(file.stem for file in (ROOT / "outages").glob("*.toml") if file.stem != SEED)


def play(name: str, state: Path, *, quick: bool) -> None:
    """One replay, shown as it goes; what an earlier one left is gone before."""
    (state / "report.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "hakika.cli", "replay", str(ROOT / "outages" / f"{name}.toml")]
    command += ["--state", str(state), *(["--quick"] if quick else [])]
    try:
        subprocess.run(command, cwd=ROOT, timeout=LIMIT_S, check=False)  # noqa: S603 - our own program
    except subprocess.TimeoutExpired:
        print(f"{name}: not at its end after {LIMIT_S} s", file=sys.stderr)


def figures(state: Path) -> dict[str, Any] | None:
    """What the run's report says; None where there is none."""
    try:
        content = json.loads((state / "report.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def row(name: str, found: dict[str, Any] | None) -> tuple[str, ...]:
    """One line of the table."""
    if found is None:
        return (name, "not played", *([""] * (len(HEADS) - 2)))
    head = (name, str(found["verdict"]), f"{found['accepted']:,}", f"{found['returned']:,}")
    if "detected_after_s" not in found:
        return (*head, *(["not judged"] + [""] * (len(HEADS) - len(head) - 1)))
    delays = tuple(
        "never" if found[key] is None else f"{found[key]:.1f} s" for key in ("detected_after_s", "published_after_s")
    )
    words = tuple("right" if found[key] else "wrong" for key in ("named_right", "closed_right"))
    return (*head, *delays, *words, str(found["false_incidents"]))


def right(found: dict[str, Any] | None, *, judged: bool) -> bool:
    """Kept, and where detection is judged, right in everything."""
    if found is None or found["verdict"] != "kept":
        return False
    if not judged or "detected_after_s" not in found:
        return True
    seen = found["detected_after_s"] is not None and found["published_after_s"] is not None
    return bool(seen and found["named_right"] and found["closed_right"] and found["false_incidents"] == 0)


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as they need to be."""
    widths = [max(len(line[column]) for line in [HEADS, *rows]) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in [HEADS, tuple("-" * width for width in widths), *rows]
    )


def main() -> int:
    """Play what is asked for, then the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="outages to play; all but the seed's unless said")
    parser.add_argument("--quick", action="store_true", help="each at several times its speed")
    parser.add_argument("--table", action="store_true", help="play nothing")
    parser.add_argument("--state", type=Path, default=ROOT / "var" / "replay", help="folder of the runs' folders")
    given = parser.parse_args()
    unknown = [name for name in given.names if not (ROOT / "outages" / f"{name}.toml").exists()]
    if unknown:
        parser.error(f"no outage {', '.join(unknown)}; there are {', '.join([SEED, *names()])}")
    suffix = "-quick" if given.quick else ""
    states = {name: given.state / f"{name}{suffix}" for name in given.names or names()}
    if not given.table:
        for number, (name, state) in enumerate(states.items(), start=1):
            print(f"\n--- {name} ({number} of {len(states)})", flush=True)
            play(name, state, quick=given.quick)
    found = {name: figures(state) for name, state in states.items()}
    print("\n" + table([row(name, one) for name, one in found.items()]))
    return 0 if all(right(one, judged=not given.quick) for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
