"""A recount of sound books finds nothing, whatever moves meanwhile, and says so where it cannot look."""

import ast
import json
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from checker_books import World, lines, new_world
from checker_lives import FINISHED, LIVES, A, attempt_of, completed, custody, held, in_flight, live, uetr_of

from hakika.simulator import checker, checker_snapshots
from hakika.simulator.checker import Targets, command, targets_from_state, verify
from hakika.simulator.checker_findings import NAMED_MAX, CannotCheck, Finding, Tally
from hakika.simulator.checker_render import WIDTH, as_json, render
from hakika.simulator.checker_result import Books, VerifyResult
from hakika.simulator.checker_snapshots import DatabaseSnapshot, merged
from hakika.store.embedded import EmbeddedPostgres, RoleAccess

ZEROES = {"core_sum_minor": 0, "bank_vs_gateway_minor": 0, "gateway_vs_core_minor": 0}
NOWHERE = "postgresql://reader:secret@127.0.0.1:1/nowhere"


@pytest.fixture
def world(
    core_database: RoleAccess, gateway_database: RoleAccess, pg_server: EmbeddedPostgres, tmp_path: Path
) -> Iterator[World]:
    """Empty books."""
    with new_world(core_database, gateway_database, pg_server, tmp_path) as made:
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a test opens and wants closed."""
    with ExitStack() as made:
        yield made


@pytest.mark.parametrize("now_live", [True, False])
def test_sound_books_have_no_finding(world: World, now_live: bool) -> None:
    live(world, *LIVES)
    result = verify(world.targets(live=now_live))
    assert lines(result) == []
    assert result.ok
    assert result.exit_status == 0
    assert result.books.figures() == ZEROES
    assert result.books.gateway_vs_core == {"bank-a": 0, "bank-b": 0}
    assert result.books.bank_vs_gateway == {"bank-a": 0, "bank-b": 0}


def test_everything_is_counted(world: World) -> None:
    live(world, *LIVES)
    counts = verify(world.targets()).counts
    expected = {
        "accepted": 15, "completed": 6, "returned": 5, "refused_for_good": 2, "held": 2, "in_flight": 2,
        "returns_unacknowledged": 1, "completions_unbooked": 1, "returns_unbooked": 1, "unfinished": 6, "burns_due": 1,
        "debited": 18, "debited_not_accepted": 1, "bank_completed": 5, "bank_returned": 4, "rejected": 2,
        "posted_in_doubt": 1, "double_credited": 0, "breaks": 0, "refusals": 2, "burns": 3, "anchors": 2,
    }  # fmt: skip
    assert {name: counts.get(name) for name in expected} == expected


def test_empty_books_agree(world: World) -> None:
    assert lines(verify(world.targets())) == []


def test_settled_books_have_ended(world: World) -> None:
    live(world, *FINISHED)
    result = verify(world.targets(settled=True))
    assert lines(result) == []
    assert result.counts["unfinished"] == 0


def test_what_has_not_ended_is_named_when_it_should_have(world: World) -> None:
    live(world, *LIVES)
    found = lines(verify(world.targets(settled=True)))
    unfinished = ("unbooked", "unsent_owed", "held", "receipt_lost", "in_flight", "in_doubt", "debited")
    assert sorted(line.split(":")[0] for line in found) == sorted(f"I28 {A} {uetr_of(name)}" for name in unfinished)


def _between(monkeypatch: pytest.MonkeyPatch, moves: dict[int, Callable[[], None]]) -> None:
    """Let `moves[n]` happen once n databases have been frozen: 1 gateway, 2 core (then banks), 3 gateway."""
    opened = checker_snapshots.open_database
    times = iter(range(1, 10))

    def then(stack: ExitStack, tally: Tally, *about: Any) -> DatabaseSnapshot | None:
        snapshot = opened(stack, tally, *about)
        moves.get(next(times), lambda: None)()
        return snapshot

    monkeypatch.setattr(checker, "open_database", then)


def test_money_that_moves_between_the_readings_is_no_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("was_held", "will_be_burnt"):
        held(world, name)
    for name in ("was_open", "is_answered_late"):
        in_flight(world, name)

    def after_gateway() -> None:
        completed(world, "whole life")
        custody(world, "new custody")
        _answer(world, "was_open")
        attempt = world.gateway.attempt(A, uetr_of("was_held"), 1)
        world.core.credit(attempt, A, "254700000001", 1_500_00)

    def after_core() -> None:
        completed(world, "whole life after the core")
        _answer(world, "is_answered_late")
        custody(world, "custody after the core")
        attempt = world.gateway.attempt(A, uetr_of("will_be_burnt"), 1)
        world.gateway.close(attempt, "burnt", world.core.burn(attempt))
        world.gateway.give_back(A, uetr_of("will_be_burnt"), "deadline_passed")
        world.banks[A].end(uetr_of("will_be_burnt"), "returned")

    _between(monkeypatch, {1: after_gateway, 2: after_core, 3: lambda: completed(world, "last of all")})
    result = verify(world.targets(live=True))
    assert lines(result) == []
    assert result.books.figures() == ZEROES


def _answer(world: World, name: str) -> None:
    """The open attempt is posted, told and booked."""
    attempt = attempt_of(name)
    world.gateway.close(attempt, "posted", world.core.credit(attempt, A, "254700000001", 1_500_00))
    world.gateway.status(uetr_of(name), "COMPLETED", fee=5_00)
    world.gateway.tell(A, uetr_of(name), "final", settled=True)
    world.banks[A].end(uetr_of(name), "completed")


def test_a_transfer_credited_twice_is_counted_once(world: World) -> None:
    live(world, "completed", "small")
    for number in (2, 3):
        world.core.credit(attempt_of("completed", number), A, "254700000002", 1_500_00)
    result = verify(world.targets())
    assert result.counts["double_credited"] == 1
    assert result.found["I19"] == 2
    assert result.books.gateway_vs_core_minor == 2 * 1_500_00


def test_a_declared_restore_of_the_core_explains_what_it_lost(world: World) -> None:
    live(world, "completed", "burnt")
    with world.spoil("core") as sql:
        for table in ("anchor WHERE number = 2", "entry WHERE slot = 3", "batch WHERE slot = 3"):
            sql.execute("DELETE FROM " + table)
    undeclared = verify(world.targets())
    assert {"I20", "I21"} <= set(undeclared.found)
    with world.spoil("core") as sql:
        sql.execute("INSERT INTO incarnation VALUES (2, 1, 'restored', 1)")
    result = verify(world.targets())
    assert not {"I20", "I21"} & set(result.found)
    assert result.counts["heads_lost_in_restore"] == 1
    assert result.counts["answers_lost_in_restore"] == 1


def test_a_credit_lost_in_a_restore_is_missing_until_it_is_driven_again(world: World, stack: ExitStack) -> None:
    live(world, "completed")
    core = world.core
    core.slot = 5
    saved = stack.enter_context(closing(core.on(world.core_access.owner_url)))
    completed(world, "lost")
    with world.spoil("core") as sql:
        sql.execute("DELETE FROM entry WHERE slot = 5")
        sql.execute("DELETE FROM batch WHERE slot = 5")
        for account, (dp, cp, debits, credits) in saved.balances.items():
            last = UUID(bytes=saved.last[account]) if account in saved.last else None
            sql.execute(
                "UPDATE account SET debits_pending = %s, credits_pending = %s, debits_posted = %s,"
                " credits_posted = %s, last_entry = %s WHERE id = %s",
                (dp, cp, debits, credits, last, account),
            )
        sql.execute("INSERT INTO incarnation VALUES (2, 1, 'restored', 1)")
    missing = verify(world.targets())
    assert set(missing.found) == {"I18"}
    assert missing.books.gateway_vs_core == {"bank-a": 1_500_00}
    saved.incarnation = 2
    saved.credit(attempt_of("lost"), A, "254700000001", 1_500_00)
    again = verify(world.targets())
    assert lines(again) == []
    assert again.counts["heads_lost_in_restore"] == 1


# --- what cannot be looked at


@pytest.mark.parametrize("part", ["core_url", "gateway_url"])
def test_a_database_that_is_away_is_said_so(world: World, part: str) -> None:
    targets = world.targets()
    changed = replace(targets, core_url=NOWHERE) if part == "core_url" else replace(targets, gateway_url=NOWHERE)
    result = verify(changed)
    role = part.removesuffix("_url")
    assert result.exit_status == 2
    assert not result.ok
    assert [(finding.code, finding.subject) for finding in result.findings] == [("V0", role)]
    assert "cannot be checked" in lines(result)[0]
    assert "secret" not in render(result)
    assert result.books.gateway_vs_core_minor is None
    assert (result.books.core_sum_minor is None) == (role == "core")


def test_a_database_without_our_schema_is_said_so(world: World, new_database: Callable[..., RoleAccess]) -> None:
    result = verify(replace(world.targets(), core_url=new_database("core", False).reader_url))
    assert result.exit_status == 2
    assert "does not exist" in lines(result)[0]


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 100])
def test_books_that_cannot_be_read_are_said_so(world: World, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "other.sqlite"
    if content is not None:
        file.write_bytes(content)
    result = verify(replace(world.targets(), books={"bank-a": file}))
    assert result.exit_status == 2
    assert {finding.subject for finding in result.findings} == {"books of bank-a"}


def test_what_is_wrong_elsewhere_is_found_although_a_part_is_away(world: World) -> None:
    live(world, "completed")
    with world.spoil("core") as sql:
        sql.execute("UPDATE batch SET at_ms = 0 WHERE seq = 1")
    result = verify(replace(world.targets(), gateway_url=NOWHERE))
    assert result.exit_status == 1
    assert set(result.found) == {"V0", "I8"}


def test_what_was_not_asked_for_is_not_looked_at(world: World) -> None:
    live(world, "completed")
    result = verify(Targets(world.core_access.reader_url, None, {}))
    assert result.ok
    assert result.books.figures() == {**ZEROES, "bank_vs_gateway_minor": None, "gateway_vs_core_minor": None}


def test_a_server_that_never_answers_holds_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker_snapshots, "CONNECT_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        result = verify(Targets(f"postgresql://a:b@127.0.0.1:{port}/c", None, {}))
    assert result.exit_status == 2


@pytest.mark.timeout(30)
def test_a_server_that_falls_silent_holds_nobody(world: World) -> None:
    """The backend is stopped in the middle: nothing but our own shutting of the socket ends the wait."""
    with DatabaseSnapshot(world.core_access.reader_url, "core", deadline_s=2.0) as snapshot:
        pid = int(snapshot.one("SELECT pg_backend_pid()")[0])
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(CannotCheck, match="no answer within 2 s"):
                snapshot.one("SELECT count(*) FROM entry")
        finally:
            os.kill(pid, signal.SIGCONT)


def test_nothing_can_be_written(world: World) -> None:
    with (
        DatabaseSnapshot(world.core_access.owner_url, "core", deadline_s=10.0) as snapshot,
        pytest.raises(CannotCheck, match="read-only"),
    ):
        snapshot.one("INSERT INTO wallet VALUES ('254700000009', 'x', 'open', 1) RETURNING 1")


def test_the_moment_is_frozen(world: World) -> None:
    with DatabaseSnapshot(world.core_access.reader_url, "core", deadline_s=10.0) as snapshot:
        before = snapshot.one("SELECT count(*) FROM entry")
        live(world, "completed")
        assert snapshot.one("SELECT count(*) FROM entry") == before
        assert sum(1 for _ in snapshot.rows("SELECT id FROM entry")) == before[0]


# --- results


def _some_result() -> VerifyResult:
    tally = Tally()
    for number in range(NAMED_MAX + 7):
        tally.find("I24", f"bank-a {uetr_of(str(number))}", "is accepted at its bank, and the gateway does not know it")
    tally.find("V0", "core", "cannot be checked: " + "very far away " * 12)
    books = Books(core_sum_minor=0, bank_vs_gateway={"bank-a": -5, "bank-b": 5})
    counts = {"accepted": 1_234_567, "unfinished": 3, "heads_lost_in_restore": 2}
    return VerifyResult(books, counts, tally.findings(), dict(tally.found), "2023-07-27T10:00:00.000Z")


def test_a_result_reads_in_eighty_columns() -> None:
    text = render(_some_result())
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "I24  custody is never lost: 57" in text
    assert "and 7 more of this kind" in text
    assert "not known" in text
    assert "1,234,567" in text


def test_a_result_as_json() -> None:
    result = _some_result()
    content = json.loads(as_json(result))
    assert content["ok"] is False
    assert content["exit_status"] == 1
    assert content["books"]["bank_vs_gateway_minor"] == 10
    assert content["books"]["gateway_vs_core_minor"] is None
    assert content["books"]["by_bank"]["bank_vs_gateway_minor"] == {"bank-a": -5, "bank-b": 5}
    assert content["found"] == {"I24": NAMED_MAX + 7, "V0": 1}
    assert content["findings"][0]["invariant"] == "could not be checked"


def test_findings_are_in_order_and_said_once() -> None:
    tally = Tally()
    for code in ("I10", "I2", "I10"):
        tally.find(code, "x", "y")
    assert tally.findings() == [Finding("I2", "x", "y"), Finding("I10", "x", "y")]
    assert sum(tally.found.values()) == 2


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        (([], []), []),
        (([(1, "a")], []), [(1, [(1, "a"), None])]),
        (([(1,), (3,)], [(2,), (3,)]), [(1, [(1,), None]), (2, [None, (2,)]), (3, [(3,), (3,)])]),
        (([(1,), (1,)], [(1,)]), [(1, [(1,), (1,)]), (1, [(1,), None])]),
    ],
)
def test_streams_are_walked_side_by_side(streams: tuple[list[Any], ...], expected: list[Any]) -> None:
    assert list(merged(*streams)) == expected


# --- the command


def _state(world: World, tmp_path: Path, *, ready: bool) -> Path:
    urls = {"core": world.core_access.reader_url, "gateway": world.gateway_access.reader_url}
    if ready:
        content = {"databases": urls, "banks": [{"id": "bank-a"}, {"id": "bank-b"}]}
        (tmp_path / "ready.json").write_text(json.dumps(content))
    else:
        (tmp_path / "keys").mkdir()
        for role, url in urls.items():
            (tmp_path / "keys" / f"{role}.reader.url").write_text(url + "\n")
    return tmp_path


@pytest.mark.parametrize("ready", [True, False])
def test_a_state_folder_names_its_targets(world: World, tmp_path: Path, ready: bool) -> None:
    targets = targets_from_state(_state(world, tmp_path, ready=ready))
    assert replace(targets, notes=()) == world.targets()
    assert [note for note in targets.notes if "no incident was recounted" in note]
    assert "secret" not in repr(targets)
    assert "postgresql" not in repr(targets)


def test_the_command(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live(world, "completed", "unsent")
    state = _state(world, tmp_path, ready=True)
    assert command(state=state, core_url=None, gateway_url=None, books=[], as_json=False) == 0
    assert "Everything that was recounted agrees." in capsys.readouterr().out
    assert command(state=state, core_url=None, gateway_url=None, books=[], as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    with world.spoil("gateway") as sql:
        sql.execute("UPDATE transfer SET status = 'RECEIVED' WHERE status = 'COMPLETED'")
    assert command(state=state, core_url=None, gateway_url=None, books=[], as_json=False) == 1
    shown = capsys.readouterr().out
    assert str(uetr_of("completed")) in shown
    books = [f"bank-a={tmp_path / 'bank-a' / 'books.sqlite'}"]
    assert command(state=None, core_url=NOWHERE, gateway_url=None, books=books, as_json=False) == 2


def test_what_takes_too_long_is_said_with_what_gives_it_longer(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, asked = _state(world, tmp_path, ready=True), partial(command, core_url=None, gateway_url=None, books=[])
    assert asked(state=state, as_json=False, deadline_s=0.001) == 2
    shown = " ".join(capsys.readouterr().out.split())
    assert "no answer within 0.001 s; if it works on, a larger --deadline-s lets it end" in shown
    assert asked(state=state, as_json=False, deadline_s=60.0) == 0


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_deadline_that_is_none_is_refused(seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(state=None, core_url=NOWHERE, gateway_url=None, books=[], as_json=False, deadline_s=seconds) == 2
    assert "--deadline-s" in capsys.readouterr().err


@pytest.mark.parametrize("books", [["bank-a"], ["=file"], ["bank-a="]])
def test_the_command_refuses_what_it_cannot_read(books: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command(state=None, core_url=None, gateway_url=None, books=books, as_json=False) == 2
    assert "BANK=FILE" in capsys.readouterr().err


def test_a_folder_without_a_platform(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(state=tmp_path, core_url=None, gateway_url=None, books=[], as_json=False) == 2
    assert "no platform" in capsys.readouterr().err


def test_it_shares_no_code_with_what_it_checks() -> None:
    folder = Path(checker.__file__).parent
    modules = sorted(folder.glob("checker*.py"))
    assert len(modules) > 5
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [f"{node.module}.{alias.name}" for alias in node.names]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                allowed = name == "hakika.clock" or name.startswith("hakika.simulator.checker")
                assert allowed or not name.startswith("hakika"), f"{module.name} imports {name}"
