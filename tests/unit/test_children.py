"""A supervised process: started again when it dies, left dead on command, found again after its supervisor's death."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from hakika.simulator.children import Child, began, clear_left_over, environment

SLEEPS = ["-c", "import time; print('up', flush=True); time.sleep(600)"]
ENDS = ["-c", "raise SystemExit(3)"]
SOON_S = 8.0


async def until(what: Callable[[], bool], within_s: float = SOON_S) -> None:
    async with asyncio.timeout(within_s):
        while not what():  # noqa: ASYNC110 - the processes are other people's
            await asyncio.sleep(0.02)


def left(folder: Path) -> list[Path]:
    return list(folder.glob("*.pid"))


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[Child]:
    made = Child("sleeper", SLEEPS, tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_a_killed_process_comes_back(child: Child) -> None:
    first = child.pid
    assert first is not None
    child.kill()
    await until(lambda: child.pid not in (None, first))
    assert child.starts == 2


async def test_a_process_that_dies_by_itself_comes_back_later_and_later(tmp_path: Path) -> None:
    made = Child("crasher", ENDS, tmp_path)
    await made.start()
    await asyncio.sleep(1.2)
    assert 2 <= made.starts <= 4  # 0.2 s, then 0.4 s, then 0.8 s
    await made.stop()
    assert made.pid is None


async def test_it_stays_dead_while_told_to(child: Child) -> None:
    child.hold()
    child.kill()
    await until(lambda: child.pid is None)
    await asyncio.sleep(0.6)
    assert child.starts == 1
    child.let_go()
    await until(lambda: child.pid is not None)


async def test_stop_ends_it_for_good(tmp_path: Path) -> None:
    made = Child("sleeper", SLEEPS, tmp_path)
    await made.start()
    pid = made.pid
    assert pid is not None
    await made.stop()
    assert began(pid) is None
    assert left(tmp_path) == []


async def test_stop_kills_what_ignores_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hakika.simulator.children.STOP_S", 0.3)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    made = Child("stubborn", ["-c", stubborn], tmp_path)
    await made.start()
    await until(lambda: "up" in (tmp_path / "stubborn.log").read_text())
    await made.stop()
    assert made.pid is None


async def test_left_over_children_are_found_and_strangers_spared(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    stranger = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    try:
        (tmp_path / "core.pid").write_text(json.dumps({"pid": process.pid, "began": began(process.pid)}))
        (tmp_path / "gateway.pid").write_text(json.dumps({"pid": stranger.pid, "began": "12345"}))
        (tmp_path / "broken.pid").write_text("{")
        assert await clear_left_over(tmp_path) == ["core"]
        assert await process.wait() == -signal.SIGKILL
        assert stranger.returncode is None
        assert left(tmp_path) == []
    finally:
        for one in (process, stranger):
            with suppress(ProcessLookupError):
                one.kill()
            await one.wait()


def test_settings_of_the_shell_do_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIKA_LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("HAKIKA_XSD_DIR", "/xsd")
    inherited = environment({"HAKIKA_CRASH_AT": "before_send"})
    assert "HAKIKA_LISTEN" not in inherited
    assert inherited["HAKIKA_XSD_DIR"] == "/xsd"
    assert inherited["HAKIKA_CRASH_AT"] == "before_send"


def test_began_tells_processes_apart() -> None:
    assert began(os.getpid()) is not None
    assert began(2**22 + 1) is None
