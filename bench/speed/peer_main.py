"""`python -m bench.speed.peer_main NAME --database-url-file FILE --seconds S --warmup-s S [--set NAME=NUMBER]`

Measures one peer in the interpreter that has its packages and prints its figure as one line of JSON. The URL contains
a password, so it comes in a file that only its owner can read. `--set` tries another number of what the peer's module
names, such as `processes=2`. Exit code 3: the peer is missing, and the line says why.
"""

import argparse
import importlib
import signal
import sys
from pathlib import Path

from bench.speed.peer import PeerMissing, to_line

MISSING = 3
PEERS = {
    "dbos": ("bench.speed.saga_dbos", "measure"),
    "restate": ("bench.speed.saga_restate", "measure"),
    "plain": ("bench.speed.saga_plain", "run"),
    "naive": ("bench.speed.saga_naive", "run"),
    "naive-hot": ("bench.speed.saga_naive", "run_hot"),
    "pgledger": ("bench.speed.ledger_pgledger", "run"),
    "pgledger-hot": ("bench.speed.ledger_pgledger", "run_hot"),
    "tigerbeetle": ("bench.speed.ledger_tigerbeetle", "measure"),
}


def main(arguments: list[str]) -> int:
    """Measure and print; an exit code."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # processes and databases are tidied up on the way out
    module, function = PEERS[asked.name]
    settings = {name: int(number) for name, number in (pair.split("=", 1) for pair in asked.set)}
    url = Path(asked.database_url_file).read_text().strip()
    try:
        measure = getattr(importlib.import_module(module), function)
        print(to_line(measure(url, seconds=asked.seconds, warmup_s=asked.warmup_s, **settings)))
    except PeerMissing as missing:
        print(missing.why)
        return MISSING
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="Measure one peer.")
    made.add_argument("name", choices=sorted(PEERS))
    made.add_argument("--database-url-file", required=True, help="a file with the URL of a superuser")
    made.add_argument("--seconds", type=float, required=True, help="length of the counted window")
    made.add_argument("--warmup-s", type=float, default=3.0, help="not counted before it (seconds)")
    made.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
