"""Planted bugs: each rule that the design marks is switched off in a copy of the code, and its test must fail.

A plant is a TOML file beside this one: `rule` (which rule or invariant), `file` (under the repository), `old`
(stands there exactly once), `new`, `test` (a pytest node id). The patched copy of `src/` runs in a process of its
own; a plugin there proves that the copy is what was imported, and that the test failed by an assertion or a broken
invariant. The same tests pass on an unpatched copy. `make plants` runs this file alone.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
AT_ONCE = 2
RUN_S = 90
KEYS = {"rule", "file", "old", "new", "test"}
BY_PROOF = {"AssertionError", "Failed", "InvariantBroken"}
# The rules that the design marks [M], and invariants, by the words with which a plant's `rule` begins.
MARKED = (
    "5 refused resend",  # 409, never a transaction status, for an id in custody
    "5 refusal by time or state",  # stored before RJCT is sent, or not final
    "5 tombstone",
    "5 return with an open attempt",
    "5 attempt after a return",
    "5 two open attempts",
    "5 two returns",
    "5 not sent",  # only the first holder of the lease, who wrote zero bytes
    "5 valid_until",  # never evidence for a return
    "6 id first",
    "6 refusal kills the id",
    "I3",  # docs/invariants.md: what row locks prevent is refused without them
    "I-30",
    "I-31",
    "I-32",
    "I-33",
    "I-34",
    "I-35",
)


@dataclass(frozen=True)
class Plant:
    """One rule switched off."""

    name: str
    rule: str
    file: str
    old: str
    new: str
    test: str


def _plants() -> list[Plant]:
    found = []
    for path in sorted(HERE.glob("*.toml")):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        if set(values) != KEYS:
            raise ValueError(f"{path.name}: has {sorted(values)}, must have {sorted(KEYS)}")
        found.append(Plant(path.stem, **values))
    return found


PLANTS = _plants()


@dataclass(frozen=True)
class Testimony:
    """What the process that ran a test says about itself."""

    __test__ = False

    copy: Path
    imported: dict[str, str]
    failed: list[dict[str, Any]]
    passed: list[str]
    output: str

    def is_about_the_copy(self) -> bool:
        """Every module of ours came from the copy, and some did."""
        files = [Path(file) for file in self.imported.values() if file != "None"]
        return bool(files) and all(file.is_relative_to(self.copy) for file in files)


def _copy(folder: Path) -> Path:
    copy = folder / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("*.egg-info"))
    return copy


def _run(folder: Path, copy: Path, tests: list[str]) -> Testimony:
    """The tests against `copy`, in a process that can import nothing else of ours."""
    report = folder / "report.json"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy), str(HERE)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "HAKIKA_PLANT_REPORT": str(report),
    }
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "plant_witness"]
    words += ["-p", "no:hypothesispytest"]  # only its reports; it takes most of the time to start
    words += ["-o", f"pythonpath={copy}", "--tb=short", *tests]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False)
    output = done.stdout[-6000:] + done.stderr[-2000:]
    assert report.exists(), output
    return Testimony(copy, **json.loads(report.read_text()), output=output)


def _planted(folder: Path, plant: Plant) -> Testimony:
    copy = _copy(folder)
    target = copy / Path(plant.file).relative_to("src")
    target.write_text(target.read_text(encoding="utf-8").replace(plant.old, plant.new), encoding="utf-8")
    return _run(folder, copy, [plant.test])


@dataclass(frozen=True)
class Runs:
    """What was begun for this session: each chosen plant, and the unpatched tests in one process."""

    planted: dict[str, "Future[Testimony]"]
    sound: "Future[Testimony]"


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """All chosen plants, a few at a time, while the tests below wait for theirs."""
    chosen: dict[str, Plant] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.originalname == "test_the_test_fails_without_its_rule":
            plant = item.callspec.params["plant"]
            if isinstance(plant, Plant):
                chosen[plant.name] = plant
    tests = sorted({plant.test for plant in chosen.values() or PLANTS})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sound_folder = tmp_path_factory.mktemp("sound")
        sound = pool.submit(lambda: _run(sound_folder, _copy(sound_folder), tests))
        planted = {
            name: pool.submit(_planted, tmp_path_factory.mktemp("plant"), plant) for name, plant in chosen.items()
        }
        yield Runs(planted, sound)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_plant_fits(plant: Plant) -> None:
    """What is replaced stands in the code exactly once, and the replacement is another text."""
    assert plant.file.startswith("src/hakika/")
    assert (ROOT / plant.file).read_text(encoding="utf-8").count(plant.old) == 1
    assert plant.new != plant.old
    assert (ROOT / plant.test.split("::")[0]).is_file()
    assert plant.rule.startswith(MARKED) or plant.rule.startswith("I-")


def test_every_marked_rule_has_a_plant() -> None:
    rules = [plant.rule for plant in PLANTS]
    assert [marked for marked in MARKED if not any(rule.startswith(marked) for rule in rules)] == []


@pytest.mark.timeout(600)
def test_the_tests_pass_on_an_unpatched_copy(runs: Runs) -> None:
    told = runs.sound.result()
    assert told.is_about_the_copy(), told.imported
    assert told.failed == [], told.output
    assert told.passed


@pytest.mark.timeout(600)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_test_fails_without_its_rule(plant: Plant, runs: Runs) -> None:
    told = runs.planted[plant.name].result()
    assert told.is_about_the_copy(), told.imported
    assert told.failed, f"{plant.rule}: nothing noticed that it was switched off\n{told.output}"
    for failure in told.failed:
        assert failure["when"] == "call", told.output
        assert set(failure["kinds"]) <= BY_PROOF, told.output
