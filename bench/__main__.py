"""`python -m bench [NAME ...] [ARGUMENTS]`: runs benchmarks; `make bench ONLY="L1 G1"` calls it.

`DET` measures how fast outages are detected (bench/det.py); every other name is a kind of work whose speed is measured
beside other programs (bench/speed/run.py), and without a name all of those are that fit into 40 minutes.
"""

import importlib
import sys


def main(arguments: list[str]) -> int:
    """Run what is asked for; 2 for a name that does not exist."""
    if arguments and arguments[0].upper() == "DET":
        module, rest = "bench.det", arguments[1:]
    else:
        module, rest = "bench.speed.run", arguments
    code: int = importlib.import_module(module).main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
