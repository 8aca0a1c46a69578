"""The compiled judge says what the plain one says: every opening and every number of its state, over half a day."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from bench import det_compiled
if sys.argv[1] == "compiled":
    print(det_compiled.use(), file=sys.stderr)
sys.path.insert(0, "tests/bench")
import numpy as np
from det_kit import fresh
from test_det_judge import _unfitted
from bench.det_harms import Harm, apply
from bench.det_observe import Observer
import hakika.health.volume
recording = fresh(4320)
harm = Harm(3600, np.ones(60), (36, 37), fail=0.5, lose=0.2, probes=(9,), probe_fail=0.6)
apply(recording, (harm,), np.random.default_rng(1))
sitting, openings = _unfitted().sitting(), []
for tick in Observer().ticks(recording):
    openings += [[one.at_s, one.cause, one.evidence] for one in sitting.hear(tick)]
state = sitting.state()
print(json.dumps([hakika.health.volume.__file__, openings, state.series, state.probes, state.reports]))
"""


def _said(how: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    said: list[object] = json.loads(done.stdout)
    return said


@pytest.mark.skipif(which("gcc") is None, reason="needs gcc to compile the judge")
@pytest.mark.timeout(600)
def test_compiled_and_plain_agree() -> None:
    plain, compiled = _said("plain"), _said("compiled")
    assert str(plain[0]).endswith("volume.py")
    assert str(compiled[0]).endswith(".so")
    assert plain[1]
    assert plain[1:] == compiled[1:]
