"""The table of `make scenarios`: what counts as right, and that a run that is missing or wrong is not."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KEPT: dict[str, Any] = {"verdict": "kept", "accepted": 12_345, "returned": 67}
SEEN: dict[str, Any] = {
    "detected_after_s": 12.04, "published_after_s": 14.0, "named_right": True, "closed_right": True,
    "false_incidents": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scenarios_tool", ROOT / "tools" / "scenarios.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_right_is_kept_and_seen_said_named_and_closed(tool: ModuleType) -> None:
    assert tool.right({**KEPT, **SEEN}, judged=True)
    assert tool.right(KEPT, judged=True)  # health did not run: nothing to judge
    for key, wrong in (
        ("verdict", "broken"), ("detected_after_s", None), ("published_after_s", None), ("named_right", False),
        ("closed_right", False), ("false_incidents", 1),
    ):  # fmt: skip
        assert not tool.right({**KEPT, **SEEN, key: wrong}, judged=True), key
    assert tool.right({**KEPT, **SEEN, "closed_right": False}, judged=False)  # too short to judge
    assert not tool.right({**KEPT, **SEEN, "verdict": "broken"}, judged=False)
    assert not tool.right(None, judged=True)


def test_a_table_of_what_is_there(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["2018-12-08", "2024-01-09"]
    (tmp_path / names[0]).mkdir()
    (tmp_path / names[0] / "report.json").write_text(json.dumps({**KEPT, **SEEN}))
    monkeypatch.setattr(sys, "argv", ["scenarios.py", "--table", "--state", str(tmp_path), *names])
    assert tool.main() == 1  # one was not played
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["2018-12-08", "kept", "12,345", "67", "12.0", "s", "14.0", "s", "right", "right", "0"]
               for line in lines)  # fmt: skip
    assert any("2024-01-09" in line and "not played" in line for line in lines)
    (tmp_path / names[1]).mkdir()
    (tmp_path / names[1] / "report.json").write_text(json.dumps(KEPT))
    assert tool.main() == 0
    assert "not judged" in capsys.readouterr().out


def test_every_outage_but_the_seed_s_is_played(tool: ModuleType) -> None:
    assert set(tool.names()) == {file.stem for file in (ROOT / "outages").glob("*.toml")} - {"2023-07-27"}
