"""A pytest plugin that bears witness in the process that runs a plant: which code was imported, what failed and how.

Loaded with `-p plant_witness` by `test_plants.py`; writes one JSON file to the path in HAKIKA_PLANT_REPORT.
"""

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

_failed: list[dict[str, Any]] = []
_passed: list[str] = []


def _kinds(error: BaseException) -> list[str]:
    """The class of the error, or of each error in a group."""
    if isinstance(error, BaseExceptionGroup):
        return [kind for inner in error.exceptions for kind in _kinds(inner)]
    return [type(error).__name__]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note each result with the kinds of its errors."""
    report = yield
    if report.failed and call.excinfo is not None:
        _failed.append({"test": item.nodeid, "when": report.when, "kinds": _kinds(call.excinfo.value)})
    elif report.passed and report.when == "call":
        _passed.append(item.nodeid)
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A test that cannot be collected proves nothing."""
    if report.failed:
        _failed.append({"test": report.nodeid, "when": "collect", "kinds": []})


def pytest_sessionfinish() -> None:
    """Leave the testimony."""
    imported = {
        name: str(getattr(module, "__file__", None))
        for name, module in sys.modules.items()
        if name.split(".")[0] == "hakika"
    }
    testimony = {"imported": imported, "failed": _failed, "passed": _passed}
    Path(os.environ["HAKIKA_PLANT_REPORT"]).write_text(json.dumps(testimony))
