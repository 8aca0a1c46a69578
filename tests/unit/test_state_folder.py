"""The state folder: what is not ours is left alone, what is ours is private, whole and held by one at a time."""

import json
import stat
import tomllib
from pathlib import Path

import pytest

from hakika.simulator.folder import MARKER, FolderRefused, StateFolder, Value
from hakika.store.ports import HeldPorts
from hakika.wire.jws import load_private_key, load_public_key


def modes(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*")}


def test_a_foreign_folder_is_never_touched(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    with pytest.raises(FolderRefused, match=r"thesis\.tex"):
        StateFolder(tmp_path).prepare()
    assert precious.read_text() == "years of work"
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.write_text("")
    with pytest.raises(FolderRefused, match="not a folder"):
        StateFolder(place).prepare()


def test_fresh_removes_what_is_ours_and_keeps_the_marker(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    token = folder.token("operator").read_text()
    (folder.path / "core").mkdir()
    (folder.path / "core" / "old").write_text("x")
    folder.release()
    again = StateFolder(tmp_path / "state")
    again.prepare()
    again.empty()
    assert not (again.path / "core").exists()
    assert (again.path / MARKER).exists()
    assert again.token("operator").read_text() != token
    again.release()


def test_fresh_removes_data_that_live_elsewhere(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    home = tmp_path / "elsewhere" / "data-1"
    (home / "data").mkdir(parents=True)
    (folder.path / "core").mkdir()
    (folder.path / "core" / "pg").symlink_to(home / "data")
    folder.release()
    again = StateFolder(tmp_path / "state")
    again.prepare()
    again.empty()
    assert not home.exists()
    assert home.parent.exists()


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    first, second = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    assert not second.held_elsewhere()
    first.prepare()
    assert second.held_elsewhere()
    with pytest.raises(FolderRefused, match="in use"):
        second.prepare()
    first.release()
    assert not second.held_elsewhere()


def test_another_layout_is_refused(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    folder.release()
    (folder.path / MARKER).write_text(json.dumps({"layout": 99}))
    with pytest.raises(FolderRefused, match="another version"):
        StateFolder(tmp_path / "state").prepare()


def test_everything_is_private_and_made_once(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    private, public = folder.key_pair("bank-a")
    token = folder.token("operator").read_text()
    folder.secret("core.app.url", "postgresql://u:p@h/d")
    folder.write_settings("core", {"role": "core"}, {})
    assert folder.key_pair("bank-a") == (private, public)
    assert folder.token("operator").read_text() == token
    found = modes(folder.path)
    for name, mode in found.items():
        assert mode == (0o700 if (folder.path / name).is_dir() else 0o600), name
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    signed = load_private_key(private).sign(b"x")
    load_public_key(public).verify(signed, b"x")
    folder.release()


def test_settings_are_toml_whatever_is_in_them(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    values: dict[str, Value] = {
        "name": 'A "bank" \\ with\nlines, é',
        "scale": 180.0,
        "customers": 3,
        "on": True,
        "list": ["a", "b"],
    }
    banks: list[dict[str, Value]] = [{"id": "bank-a"}, {"id": "bank-b", "scale": 1.5}]
    file = folder.write_settings("gateway", values, {"bank": banks, "source": [{"name": "core"}], "desk": []})
    read = tomllib.loads(file.read_text())
    assert {key: read[key] for key in values} == values
    assert read["bank"] == [{"id": "bank-a"}, {"id": "bank-b", "scale": 1.5}]
    assert read["source"] == [{"name": "core"}]
    assert "desk" not in read
    folder.release()


def test_ports_are_kept_and_differ(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    names = ["core", "gateway", "gateway-core", "bank-a"]
    first, second, third = HeldPorts(), HeldPorts(), HeldPorts()
    ports = folder.ports(names, first)
    assert len(set(ports.values())) == len(names)
    first.release()
    assert folder.ports(names, second) == ports
    second.release()
    assert folder.ports([*names, "bank-b"], third)["core"] == ports["core"]
    third.release()
    folder.release()
