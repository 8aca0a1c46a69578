"""The command line: help with an example for each command, lazy imports, exit statuses."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hakika import cli

COMMANDS = ("up", "serve", "break", "mend", "links", "replay", "verify", "migrate")
HEAVY = ("httptools", "psycopg", "httpx2", "lxml", "jinja2", "cryptography", "hakika.simulator", "hakika.store")


def hakika(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "hakika.cli", *arguments]
    source = str(Path(cli.__file__).parents[1])
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": source, "COLUMNS": "80", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, env=environment)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_one_example(name: str) -> None:
    function = cli.app[name].default_command
    assert function is not None
    text = function.__doc__ or ""
    assert len(re.findall(r"Example: `hakika [^`]+`", text)) == 1
    assert f"`hakika {name}" in text


def test_raising_an_incarnation_has_help_and_says_what_it_needs() -> None:
    function = cli.app["incarnation"]["raise"].default_command
    assert function is not None
    assert len(re.findall(r"Example: `hakika incarnation raise [^`]+`", function.__doc__ or "")) == 1
    for words in (["moon"], ["gateway"], ["gateway", "--url", "postgresql://h/d"]):
        assert hakika("incarnation", "raise", *words).returncode == 2, words
    nowhere = ["--url", "postgresql://127.0.0.1:1/nowhere"]
    for words, said in (([*nowhere, "--reason", " "], "--reason"), ([*nowhere, "--reason", "copy"], "gateway")):
        done = hakika("incarnation", "raise", "gateway", *words)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_help_appears_without_loading_a_role() -> None:
    code = f"import sys, hakika.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )
    assert done.stdout.strip() == "[]"


def test_help_and_version() -> None:
    done = hakika("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert name in done.stdout


def test_what_is_not_understood_is_status_2(tmp_path: Path) -> None:
    for words in (["brek"], ["up", "--colour", "red"], ["serve", "moon", "--settings", "x"], ["replay"]):
        done = hakika(*words, cwd=tmp_path)
        assert done.returncode == 2, words
        assert "Traceback" not in done.stderr + done.stdout


def test_what_cannot_be_done_is_status_1_with_the_reason(tmp_path: Path) -> None:
    for words, said in (
        (["break", "gateway-core"], "nothing runs in"),
        (["links", "--json"], "nothing runs in"),
        (["replay", "nowhere.toml"], "nowhere.toml"),
        (["serve", "core", "--settings", "nowhere.toml"], "nowhere.toml"),
        (["serve", "bank", "--settings", "nowhere.toml"], "nowhere.toml"),
        (["up", "--scale", "0.5"], "--scale"),
    ):
        done = hakika(*words, cwd=tmp_path)
        assert done.returncode == 1, (words, done)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_up_leaves_a_foreign_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = hakika("up", "--state", str(tmp_path), "--fresh")
    assert done.returncode == 1
    assert "mine.txt" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


def test_verify_of_nothing_is_status_2(tmp_path: Path) -> None:
    assert hakika("verify", "--state", str(tmp_path)).returncode == 2


def test_json_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._print_json({"links": ["é"]}) == 0
    assert json.loads(capsys.readouterr().out) == {"links": ["é"]}
