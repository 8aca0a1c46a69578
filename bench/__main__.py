"""`python -m bench [NAME] [ARGUMENTS]`: runs one benchmark, or all of them; `make bench ONLY=NAME` calls it.

A benchmark is a module with `main(arguments) -> exit code`; a new one is one more line in `BENCHMARKS`. Each writes
its figures to `var/bench/` and shows them on the terminal.
"""

import importlib
import sys

BENCHMARKS = {"DET": "bench.det"}


def main(arguments: list[str]) -> int:
    """Run what is asked for; 2 for a name that does not exist."""
    named = bool(arguments) and not arguments[0].startswith("-")
    names = [arguments[0].upper()] if named else list(BENCHMARKS)
    for name in names:
        if name not in BENCHMARKS:
            print(f"There is no benchmark {name}. There are: {', '.join(BENCHMARKS)}", file=sys.stderr)
            return 2
        code: int = importlib.import_module(BENCHMARKS[name]).main(arguments[named:])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
