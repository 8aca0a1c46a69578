"""`hakika up` as a person meets it: ready within seconds, attached to, broken and mended, killed and found again."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import hakika

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]
READY_S = 60.0
SETTLED_S = 30.0
KES_500 = 500_00


class Up:
    """A running `hakika up`."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.ready_file = state.parent / f"{state.name}-ready.json"
        self.process: subprocess.Popen[str] | None = None

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hakika.cli", *words, "--state", str(self.state)]

    def start(self, *words: str) -> dict[str, Any]:
        self.ready_file.unlink(missing_ok=True)
        command = [*self.command("up", *words), "--ready-file", str(self.ready_file)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env()
        )
        until(lambda: self.ready_file.exists() or self.over(), READY_S)
        assert not self.over(), self.process.communicate()[0]
        return self.ready()

    def over(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def ready(self) -> dict[str, Any]:
        content = json.loads(self.ready_file.read_text())
        assert isinstance(content, dict)
        return content

    def hakika(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60, env=env())

    def stop(self, number: int = signal.SIGTERM) -> str:
        assert self.process is not None
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        return out


def env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(hakika.__file__).parents[1]), "COLUMNS": "80"}


def until(what: Callable[[], bool], within_s: float) -> None:
    ends = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < ends, "not within the time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pay(ready: dict[str, Any], request_id: str, *, bank: int = 1, wallet: int = 0) -> str:
    """Order a transfer; the UETR."""
    order = {
        "request_id": request_id,
        "creditor_msisdn": ready["wallets"][wallet],
        "creditor_name": "Amina Otieno",
        "amount_minor": KES_500,
        "currency": "KES",
    }
    answer = httpx2.post(f"{ready['banks'][bank]['url']}/customers/7/transfers", json=order, trust_env=False)
    assert answer.json()["result"] == "debited", answer.text
    return str(answer.json()["uetr"])


def state_of(ready: dict[str, Any], uetr: str, *, bank: int = 1) -> str:
    try:
        answer = httpx2.get(f"{ready['banks'][bank]['url']}/transfers/{uetr}", trust_env=False)
    except httpx2.HTTPError:
        return ""
    return str(answer.json().get("state")) if answer.status_code == 200 else ""


def until_state(ready: dict[str, Any], uetr: str, state: str, *, bank: int = 1) -> None:
    until(lambda: state_of(ready, uetr, bank=bank) == state, SETTLED_S)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="hakika-up-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Up]:
    """One platform for the whole module, in a folder whose name is too long for a socket's."""
    made = Up(folder / ("a-folder-with-a-rather-long-name-" * 4))
    made.start()
    yield made
    if not made.over():
        made.stop()


def test_the_ready_file_tells_everything(up: Up) -> None:
    ready = up.ready()
    assert stat.S_IMODE(up.ready_file.stat().st_mode) == 0o600
    assert {bank["id"] for bank in ready["banks"]} == {"bank-a", "bank-b"}
    for bank in ready["banks"]:
        assert {"id", "url", "kid", "key_file", "callback_url"} <= bank.keys()
        assert stat.S_IMODE(Path(bank["key_file"]).stat().st_mode) == 0o600
    assert set(ready["databases"]) >= {"core", "gateway"}
    assert set(ready) >= {"health_url", "status_page_folder", "test_wallets"}
    assert len(ready["wallets"]) == 200
    assert set(ready["links"]) >= {"gateway-core", "bank-a-gateway", "gateway-bank-b"}
    for url in (ready["core_url"], ready["gateway_url"]):
        assert httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200


def test_nothing_under_the_folder_is_open_to_others(up: Up) -> None:
    open_to_others = [
        str(path)
        for path in up.state.rglob("*")
        if not path.is_symlink() and "pg" not in path.parts and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_money_arrives_through_each_bank(up: Up) -> None:
    ready = up.ready()
    for bank in (0, 1):
        uetr = pay(ready, f"first-{bank}", bank=bank)
        until_state(ready, uetr, "completed", bank=bank)


def test_a_second_start_attaches(up: Up) -> None:
    until(lambda: "health" in up.ready()["pids"], READY_S)  # the platform is ready before health is
    other = up.ready_file.with_name("second.json")
    done = up.hakika("up", "--ready-file", str(other))
    assert done.returncode == 0
    assert "Already running" in done.stdout
    assert up.ready()["gateway_url"] in done.stdout
    assert json.loads(other.read_text())["pids"] == up.ready()["pids"]
    refused = up.hakika("up", "--fresh")
    assert refused.returncode == 1
    assert "in use" in refused.stderr


def test_break_and_mend_a_link(up: Up) -> None:
    ready = up.ready()
    for how in ("blackhole", "deaf", "refuse"):
        assert up.hakika("break", "gateway-core", "--how", how).returncode == 0
        shown = json.loads(up.hakika("links", "--json").stdout)["links"]
        assert next(row["mode"] for row in shown if row["link"] == "gateway-core") == how
        uetr = pay(ready, f"broken-{how}")
        until_state(ready, uetr, "accepted")
        time.sleep(0.5)
        assert state_of(ready, uetr) == "accepted"
        assert up.hakika("mend", "gateway-core").returncode == 0
        until_state(ready, uetr, "completed")


def test_an_unknown_link_is_named(up: Up) -> None:
    done = up.hakika("break", "gateway-moon")
    assert done.returncode == 1
    assert "gateway-core" in done.stderr


@pytest.mark.parametrize("target", ["core", "gateway", "bank-b", "core-postgres", "gateway-postgres"])
def test_whatever_is_killed_comes_back_and_the_money_arrives(up: Up, target: str) -> None:
    ready = up.ready()
    before = pay(ready, f"before-{target}")
    pids = json.loads(up.hakika("links", "--json").stdout)["pids"]
    os.kill(pids[target], signal.SIGKILL)
    until(lambda: not alive(pids[target]), 5)
    until_state(ready, before, "completed")

    def paid() -> bool:
        try:
            return bool(pay(ready, f"after-{target}"))
        except (httpx2.HTTPError, AssertionError):
            return False

    until(paid, SETTLED_S)
    after = pay(ready, f"after-{target}")  # the same order again is the same transfer
    until_state(ready, after, "completed")


def test_the_recount_agrees(up: Up) -> None:
    done = up.hakika("verify", "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    for _ in range(60):  # health comes after what moves money
        if not found["notes"]:
            break
        time.sleep(0.5)
        found = json.loads(up.hakika("verify", "--json").stdout)
    assert set(found["books"]) >= {
        "core_sum_minor", "bank_vs_gateway_minor", "gateway_vs_core_minor",
    }  # fmt: skip
    assert found["notes"] == []
    assert "incidents" in found["counts"]


def test_a_killed_supervisor_leaves_nothing_that_the_next_cannot_end(up: Up) -> None:
    ready = up.ready()
    uetr = pay(ready, "across-supervisors")
    pids = json.loads(up.hakika("links", "--json").stdout)["pids"]
    assert up.process is not None
    up.process.kill()
    up.process.communicate()
    assert alive(pids["core"])
    again = up.start()
    assert again["gateway_url"] == ready["gateway_url"]  # ports are kept
    assert again["pids"]["core-postgres"] == pids["core-postgres"]  # attached to, not started again
    for name in ("core", "gateway", "bank-a", "bank-b"):
        assert not alive(pids[name]) or again["pids"][name] == pids[name]
    until_state(again, uetr, "completed")


def test_stopping_leaves_no_process_and_keeps_the_data(up: Up) -> None:
    ready = up.ready()
    pids = json.loads(up.hakika("links", "--json").stdout)["pids"]
    out = up.stop(signal.SIGINT)
    assert "Stopped." in out
    assert [name for name, pid in pids.items() if pid and alive(pid)] == []
    assert not up.ready_file.exists()
    assert up.hakika("links").returncode == 1
    books = sqlite3.connect(f"file:{ready['banks'][1]['books_file']}?mode=ro", uri=True)
    (count,) = books.execute("SELECT count(*) FROM transfer WHERE state = 'completed'").fetchone()
    books.close()
    assert count >= 9


def test_a_fresh_start_takes_seconds_and_starts_over(folder: Path) -> None:
    made = Up(folder / "fresh")
    began = time.monotonic()
    ready = made.start("--fresh")
    uetr = pay(ready, "first")
    until_state(ready, uetr, "completed")
    took_s = time.monotonic() - began
    pids = json.loads(made.hakika("links", "--json").stdout)["pids"]
    assert made.process is not None
    made.process.kill()
    made.process.communicate()
    again = made.start("--fresh")  # ends what was left running on the folder before it removes the folder
    assert all(not alive(pid) for name, pid in pids.items() if name != "supervisor")
    assert httpx2.get(f"{again['banks'][1]['url']}/transfers/{uetr}", trust_env=False).status_code == 404
    made.stop()
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert took_s < 8 * max(1.0, 2 * busy), f"{took_s:.1f} s at a load of {busy:.1f} a core"
