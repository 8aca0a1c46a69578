"""What is said of peers: only the window counts, quantiles are never better than seen, a figure survives its line."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.speed import ledger_pgledger, ledger_tigerbeetle, peer_venv
from bench.speed.peer import PeerFailed, PeerMissing, Tally, figure, from_line, to_line, together
from bench.speed.peer_books import ACCOUNTS
from bench.speed.peer_crew import Order, Window, ask_on_loop, ask_on_threads, orders
from bench.speed.peer_http import HOST, Caller
from hakika import clock


def tally(*latencies_ms: float, acknowledged: int | None = None) -> Tally:
    made = Tally(len(latencies_ms) if acknowledged is None else acknowledged)
    made.latencies_ms.extend(latencies_ms)
    return made


def test_a_figure_of_known_latencies() -> None:
    made = figure("x", tally(*range(1, 1001), acknowledged=1300), seconds=10, faults=[], how="so")
    assert (made.per_s, made.count) == (100.0, 1000)
    assert (made.p50_ms, made.p99_ms, made.p999_ms) == (500.0, 990.0, 999.0)
    assert made.books_ok
    assert from_line(to_line(made)) == made


def test_faults_of_the_books_are_told() -> None:
    made = figure("x", tally(1.0), seconds=1, faults=["balances off by: 1"], how="so")
    assert not made.books_ok
    assert made.how == "so; balances off by: 1"


def test_nothing_acknowledged_is_no_figure() -> None:
    with pytest.raises(PeerFailed):
        figure("x", tally(acknowledged=3), seconds=1, faults=[], how="so")


@pytest.mark.parametrize("line", ["", "Traceback", "[]", '{"name": "x"}'])
def test_a_line_that_is_no_figure(line: str) -> None:
    with pytest.raises(PeerFailed):
        from_line(line)


def test_tallies_together() -> None:
    both = together([tally(1.0, acknowledged=5), tally(2.0, 3.0, acknowledged=7)])
    assert both.acknowledged == 12
    assert list(both.latencies_ms) == [1.0, 2.0, 3.0]


class Hands:
    """A clock that each saga moves on by a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(clock, "monotonic_s", lambda: self.now_s)

    def saga(self, order: Order) -> None:
        self.now_s += 1

    async def saga_on_loop(self, order: Order) -> None:
        self.saga(order)


def test_only_what_is_acknowledged_within_the_window_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledged at 1, 2, ... 8 s; nothing is begun after 7.5 s, and what ends after it is drained, not counted."""
    seen = ask_on_threads([Hands(monkeypatch).saga], 0, Window(2.5, 7.5))
    assert seen.acknowledged == 8
    assert list(seen.latencies_ms) == [1000.0] * 5


async def test_the_same_on_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands(monkeypatch)
    seen = await ask_on_loop([hands.saga_on_loop], 0, Window(2.5, 7.5))
    assert (seen.acknowledged, len(seen.latencies_ms)) == (8, 5)


def test_what_a_caller_raises_is_raised() -> None:
    def broken(order: Order) -> None:
        raise PeerFailed("no")

    with pytest.raises(PeerFailed):
        ask_on_threads([broken], 0, Window(0, float("inf")))


def test_orders_are_between_two_accounts_and_repeatable() -> None:
    drawn = [order() for order in (orders(7), orders(7), orders(8))]
    assert (drawn[0].payer, drawn[0].payee) == (drawn[1].payer, drawn[1].payee)
    assert drawn[0].saga != drawn[1].saga
    some, hot = orders(1), orders(1, hot=True)
    for _ in range(2000):
        one, other = some(), hot()
        assert one.payer != one.payee
        assert 0 <= one.payee < ACCOUNTS and 0 < one.payer < ACCOUNTS
        assert other.payee == 0 != other.payer


def test_a_peer_without_its_environment_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peer_venv, "VENV", tmp_path / "none")
    with pytest.raises(PeerMissing, match="make peers"):
        peer_venv.measured("dbos", "postgresql://nobody", seconds=1, warmup_s=0, settings={})
    with pytest.raises(PeerMissing, match="make peers"):
        peer_venv.version("no-such-package", "x")


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", (200, b"hi")),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n", (200, b"abcd")),
    (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
    (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nx: y\r\n\r\n", (500, b"")),
]


async def test_answers_on_one_connection() -> None:
    """Each is read to its end: what follows is the next answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer, _ in ANSWERS:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"POST /p HTTP/1.1\r\n") and b"a: b\r\n" in head
            assert await reader.readexactly(4) == b"body"
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        caller = await Caller.connect(server.sockets[0].getsockname()[1])
        for _, expected in ANSWERS:
            assert await caller.post("/p", b"body", "a: b\r\n") == expected
        caller.close()


def test_pgledger_is_where_the_setting_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vendor/ulid/b.sql", "vendor/ulid/a.sql", "pgledger.sql"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = ledger_pgledger.files(str(tmp_path))
    assert [one.name for one in found] == ["a.sql", "b.sql", "pgledger.sql"]
    assert ledger_pgledger.files(f"{tmp_path}/pgledger.sql:{tmp_path}/vendor/ulid/a.sql") == [found[2], found[0]]
    (tmp_path / "pgledger.sql").unlink()
    with pytest.raises(PeerMissing, match=r"pgledger\.sql is not there"):
        ledger_pgledger.files(str(tmp_path))
    monkeypatch.delenv(ledger_pgledger.SETTING, raising=False)
    with pytest.raises(PeerMissing, match=ledger_pgledger.SETTING):
        ledger_pgledger.run("postgresql://nowhere", seconds=1, warmup_s=0)


def test_tigerbeetle_is_asked_where_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ledger_tigerbeetle.SETTING, raising=False)
    with pytest.raises(PeerMissing, match=ledger_tigerbeetle.SETTING):
        ledger_tigerbeetle.run("postgresql://nowhere", seconds=1, warmup_s=0)


class Beetle:
    """What is used of its client, over a dictionary: what is tested is what is made of its answers."""

    class CreateAccountStatus:
        CREATED = "created"

    class CreateTransferStatus:
        CREATED = "created"

    def __init__(self, lost: int = 0) -> None:
        self.lost = lost
        self.accounts: dict[int, SimpleNamespace] = {}

    def id(self) -> int:
        return clock.new_id().int

    Account = Transfer = SimpleNamespace

    def create_accounts(self, made: list[SimpleNamespace]) -> list[SimpleNamespace]:
        self.accounts |= {one.id: SimpleNamespace(debits_posted=0, credits_posted=0) for one in made}
        return [SimpleNamespace(status="created") for _ in made]

    def create_transfers(self, made: list[SimpleNamespace]) -> list[SimpleNamespace]:
        for one in made[self.lost :]:
            self.accounts[one.debit_account_id].debits_posted += one.amount
            self.accounts[one.credit_account_id].credits_posted += one.amount
        return [SimpleNamespace(status="created" if one.id else "odd") for one in made]

    def lookup_accounts(self, asked: list[int]) -> list[SimpleNamespace]:
        return [self.accounts[one] for one in asked]


@pytest.mark.parametrize("lost", [0, 1])
def test_tigerbeetles_transfers_are_counted_and_compared(lost: int) -> None:
    """A batch's transfers have each waited as long as the batch; what is acknowledged has to be on the accounts."""
    beetle = Beetle(lost)
    accounts = ledger_tigerbeetle._opened(beetle, beetle)
    assert len(accounts) == ACCOUNTS
    tally = ledger_tigerbeetle._work(beetle, beetle, accounts, 10, 0.0, 0.05)
    assert tally.acknowledged >= len(tally.latencies_ms) > 0
    assert not len(tally.latencies_ms) % 10
    assert bool(ledger_tigerbeetle._faults(beetle, accounts, tally.acknowledged)) == bool(lost)


def test_what_tigerbeetle_refuses_ends_its_measurement() -> None:
    with pytest.raises(PeerFailed, match="'exists'"):
        ledger_tigerbeetle._all_created([SimpleNamespace(status="exists")], "created")
