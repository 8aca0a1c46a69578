"""The collector with real PostgreSQL and real HTTP peers: slow, dead, restarted, senseless, wrong about time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
import pytest

from hakika import clock
from hakika.channels.door import Door, Request, Response, Route, serve
from hakika.channels.signals import signals_routes
from hakika.domain.reasons import InvariantBroken
from hakika.health import collector as module
from hakika.health.calling import call
from hakika.health.collector import KEPT_MS, Collector
from hakika.outbound.signals import ASK_S, NoAnswer, SignalsClient
from hakika.services.signals import ANSWER_MAX, Counts
from hakika.store.health import signals as rows
from hakika.store.health.signals import IntervalRow, SourceRow
from hakika.store.lane import Lanes, StoreFault
from hakika.store.lane import NoAnswer as LostReply
from hakika.store.server_roles import RoleAccess
from hakika.wire.health_api import SIGNAL_WIDTH_MS, Signal, SignalInterval, Signals

TOKEN = "a-token-of-health"
pytestmark = pytest.mark.usefixtures("any_clock")
NOW_MS = 1_700_000_000_000
Handle = Callable[[Request], Awaitable[Response]]


class Peer:
    """A role whose clock and life are in the test's hand, behind the real door and route.

    Its time stands still unless it is told how far to run behind the true one.
    """

    def __init__(self, *, behind_ms: int | None = None) -> None:
        self._runs = behind_ms is not None
        self.ahead_ms = -(behind_ms or 0)
        self.counts = Counts(time=self.now_ms)
        self.tally = self.counts.tally("role:core")
        self.delay_s = 0.0
        self.asked: list[int] = []
        self.instead: Response | None = None

    def now_ms(self) -> int:
        return (clock.now_ms() if self._runs else NOW_MS) + self.ahead_ms

    def passes(self, intervals: int) -> None:
        """So many intervals go by."""
        self.ahead_ms += intervals * SIGNAL_WIDTH_MS

    def restarts(self) -> None:
        self.counts = Counts(time=self.now_ms)
        self.tally = self.counts.tally("role:core")

    async def handle(self, request: Request) -> Response:
        self.asked.append(int(request.query["after"]))
        await asyncio.sleep(self.delay_s)
        if self.instead is not None:
            return self.instead
        (route,) = signals_routes("core", self.counts, TOKEN)
        return await route.handler(request)


@pytest.fixture
def any_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers whose time is put forward by the test are not corrected."""
    monkeypatch.setattr(module, "SKEW_MAX_MS", 10**12)


class Setup:
    """One collector over some peers."""

    def __init__(self, collector: Collector, lanes: Lanes, database: RoleAccess, peers: list[Peer]) -> None:
        self.collector = collector
        self.lanes = lanes
        self.database = database
        self.peers = peers

    async def ask(self, number: int = 0) -> float:
        return await self.collector.ask(self.collector._sources[number])

    async def stored(self) -> list[tuple[int, int, int]]:
        """(at_ms, ended, arrived) of role:core by instant."""
        return await self.rows("SELECT at_ms, ended, arrived FROM signal_interval ORDER BY at_ms, source")

    async def rows(self, statement: str) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self.database.reader_url) as connection:
            return await (await connection.execute(statement.encode())).fetchall()


@asynccontextmanager
async def collecting(database: RoleAccess, *peers: Peer, token: str = TOKEN) -> AsyncIterator[Setup]:
    doors = [
        await serve(Door([Route("GET", "/internal/signals", peer.handle)], concurrency_max=9), "127.0.0.1", 0)
        for peer in peers
    ]
    names = ("core", "gateway")
    sources = [(name, SignalsClient(door.url, token)) for name, door in zip(names, doors, strict=False)]
    lanes = Lanes(database.app_url, size=2, name="test health")
    collector = Collector(lanes, sources)
    yield Setup(collector, lanes, database, list(peers))
    await collector.close()
    await lanes.close()
    for door in doors:
        await door.stop(drain_s=0.5)


async def test_intervals_are_stored_once_and_only_new_ones_are_asked_for(health_database: RoleAccess) -> None:
    peer = Peer()
    async with collecting(health_database, peer) as setup:
        peer.tally.good()
        peer.passes(2)
        await setup.ask()
        assert [ended for _, ended, _ in await setup.stored()] == [1, 0]
        peer.tally.fail("busy")
        peer.tally.own_error()
        peer.passes(1)
        pause_s = await setup.ask()
        assert peer.asked == [0, 2]
        assert 0 < pause_s <= 5.3
        assert [ended for _, ended, _ in await setup.stored()] == [1, 0, 2]
        ((failed, own),) = await setup.rows("SELECT failed, own_errors FROM signal_interval WHERE ended = 2")
        assert (failed, own) == ({"busy": 1}, 1)
        assert await setup.rows("SELECT * FROM silence") == []


async def test_a_restart_of_health_goes_on_where_it_was(health_database: RoleAccess) -> None:
    peer = Peer()
    async with collecting(health_database, peer) as setup:
        peer.passes(3)
        await setup.ask()
    async with collecting(health_database, peer) as again:
        peer.passes(1)
        await again.ask()
        assert peer.asked == [0, 3]
        assert len(await again.stored()) == 4


async def test_a_lost_commit_reply_stores_nothing_twice(health_database: RoleAccess) -> None:
    peer = Peer()
    async with collecting(health_database, peer) as setup:
        peer.passes(3)
        await setup.ask()
        setup.collector._sources[0].stands = SourceRow("core", peer.counts.life, 0, 0, 0)
        await setup.ask()
        assert peer.asked == [0, 0]
        assert len(await setup.stored()) == 3


async def test_more_than_one_answer_holds_is_fetched_in_turn(health_database: RoleAccess) -> None:
    peer = Peer()
    async with collecting(health_database, peer) as setup:
        peer.passes(ANSWER_MAX + 30)
        assert await setup.ask() <= 0.3
        await setup.ask()
        assert len(await setup.stored()) == ANSWER_MAX + 30


async def test_a_dead_peer_is_silence_every_time_it_is_asked(
    health_database: RoleAccess, caplog: pytest.LogCaptureFixture
) -> None:
    lanes = Lanes(health_database.app_url, size=1, name="test health")
    collector = Collector(lanes, [("core", SignalsClient("http://127.0.0.1:1", TOKEN))])
    for _ in range(3):
        assert 4.0 < await collector.ask(collector._sources[0]) <= 5.0
        await asyncio.sleep(0.01)
    fresh = await collector.latest(0)
    assert [silence.source for silence in fresh.silences] == ["core"] * 3
    assert collector.fresh.is_set()
    assert caplog.text.count("does not say what it has counted") == 1
    await collector.close()
    await lanes.close()


async def test_a_slow_peer_is_silence_within_the_deadline_and_delays_no_other(health_database: RoleAccess) -> None:
    slow, quick = Peer(), Peer()
    slow.delay_s = 30.0
    async with collecting(health_database, slow, quick) as setup:
        slow.passes(1)
        quick.passes(1)
        loops = [asyncio.create_task(loop) for loop in setup.collector.workers()]
        began = time.monotonic()
        while not await setup.rows("SELECT 1 FROM signal_interval WHERE source = 'gateway'"):
            assert time.monotonic() - began < ASK_S
            await asyncio.sleep(0.02)
        while not await setup.rows("SELECT 1 FROM silence WHERE source = 'core'"):
            assert time.monotonic() - began < ASK_S + 2.0
            await asyncio.sleep(0.02)
        assert time.monotonic() - began > ASK_S - 0.1
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        slow.delay_s = 0.0


async def test_a_new_life_is_noticed_and_fetched_from_its_beginning(
    health_database: RoleAccess, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer()
    async with collecting(health_database, peer) as setup:
        caplog.set_level("INFO")
        peer.passes(4)
        await setup.ask()
        peer.restarts()
        peer.tally.good()
        peer.passes(6)  # its numbers have passed ours already
        assert await setup.ask() == 0.0
        await setup.ask()
        assert peer.asked == [0, 4, 0]
        stored = await setup.stored()
        assert len(stored) == 10
        assert sum(ended for _, ended, _ in stored) == 1
        assert f"core: a new process, life {peer.counts.life}" in caplog.text


@pytest.mark.parametrize("behind_ms", [7_300, -3_600_000, 86_400_000])
async def test_a_clock_that_is_off_is_corrected_once_and_intervals_do_not_move(
    health_database: RoleAccess, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, behind_ms: int
) -> None:
    monkeypatch.setattr(module, "SKEW_MAX_MS", 2_000)
    peer = Peer(behind_ms=behind_ms)
    async with collecting(health_database, peer) as setup:
        for _ in range(4):
            await asyncio.sleep(0.05)
            peer.counts.now_ms()
            await setup.ask()
        await asyncio.sleep(SIGNAL_WIDTH_MS / 1000)
        for _ in range(3):
            await setup.ask()
        stored = await setup.stored()
        assert stored
        for at_ms, _, _ in stored:
            assert abs(at_ms - clock.now_ms()) < 2 * SIGNAL_WIDTH_MS + 500
        assert len(stored) == len({at_ms for at_ms, _, _ in stored}) <= 2
        assert caplog.text.count("its clock is") == 1


async def test_a_lost_commit_reply_does_not_move_what_is_corrected(
    health_database: RoleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SKEW_MAX_MS", 2_000)
    peer = Peer(behind_ms=9_000)
    async with collecting(health_database, peer) as setup:
        await asyncio.sleep(SIGNAL_WIDTH_MS / 1000)
        run = setup.lanes.run

        async def forgetful(work: Any, *, deadline_s: float) -> Any:
            result = await run(work, deadline_s=deadline_s)
            if result is None:  # of a store
                raise LostReply("the commit reply was lost")
            return result

        monkeypatch.setattr(setup.lanes, "run", forgetful)
        for _ in range(3):
            with pytest.raises(StoreFault):
                await setup.ask()
            await asyncio.sleep(0.02)
        monkeypatch.setattr(setup.lanes, "run", run)
        await setup.ask()
        stored = await setup.stored()
        assert len(stored) == len(peer.counts.since("core", 0).intervals) <= 2


async def test_a_clock_that_is_nearly_right_is_left_alone(
    health_database: RoleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SKEW_MAX_MS", 2_000)
    peer = Peer(behind_ms=1_500)
    async with collecting(health_database, peer) as setup:
        await asyncio.sleep(SIGNAL_WIDTH_MS / 1000)
        await setup.ask()
        (interval,) = peer.counts.since("core", 0).intervals[:1]
        assert (await setup.stored())[0][0] == interval.at_ms
        assert setup.collector._sources[0].stands is not None
        assert setup.collector._sources[0].stands.correction_ms == 0


def answer(**changes: Any) -> Signals:
    """An answer as it may be."""
    whole = Signals(
        "core", "life-1", NOW_MS, [SignalInterval(1, NOW_MS - 9_000, 5_000, [Signal("role:core", ended=3)])]
    )
    return msgspec.structs.replace(whole, **changes)


def odd(**changes: Any) -> Signals:
    """An answer with one odd interval."""
    return answer(intervals=[msgspec.structs.replace(answer().intervals[0], **changes)])


def odd_signal(**changes: Any) -> Signals:
    """An answer with one odd count."""
    return odd(signals=[msgspec.structs.replace(Signal("role:core", ended=3), **changes)])


SENSELESS = {
    "nothing": b"",
    "a page": b"<html>",
    "other JSON": b'{"source":"core"}',
    "no life": answer(life=""),
    "a life to inject": answer(life="x'; DROP TABLE incident; --"),
    "a time before time": answer(now_ms=-5),
    "an interval that is not over": odd(at_ms=NOW_MS - 1_000),
    "an interval without width": odd(width_ms=0),
    "an interval of a day": odd(width_ms=86_400_000, at_ms=1),
    "a number that is none": odd(number=0),
    "numbers that fall": answer(intervals=[answer().intervals[0]] * 2),
    "a negative count": odd_signal(arrived=-1),
    "a count beyond all counting": odd_signal(ended=2**40),
    "a name to inject": odd_signal(series="<script>"),
    "a name without end": odd_signal(series="role:" + "x" * 90),
    "more failures than outcomes": odd_signal(failed={"busy": 4}),
    "a reason that is a text": odd_signal(failed={"<b>it broke</b>": 1}),
    "reasons without end": odd_signal(ended=500, failed={f"r{'a' * n}": 1 for n in range(60)}),
    "a series twice": odd(signals=[Signal("role:core"), Signal("role:core")]),
    "series without end": odd(signals=[Signal(f"role:{n}") for n in range(600)]),
}


@pytest.mark.parametrize("body", SENSELESS.values(), ids=SENSELESS.keys())
async def test_an_answer_without_sense_is_silence_and_stores_nothing(
    health_database: RoleAccess, body: bytes | Signals
) -> None:
    peer = Peer()
    peer.instead = Response(200, body if isinstance(body, bytes) else msgspec.json.encode(body))
    async with collecting(health_database, peer) as setup:
        await setup.ask()
        assert await setup.stored() == []
        assert await setup.rows("SELECT * FROM signal_source") == []
        assert len(await setup.rows("SELECT * FROM silence")) == 1


async def test_the_sound_answer_of_these_cases_is_stored(health_database: RoleAccess) -> None:
    peer = Peer()
    peer.instead = Response(200, msgspec.json.encode(odd_signal(arrived=2, failed={"busy": 1})))
    async with collecting(health_database, peer) as setup:
        await setup.ask()
        assert [(ended, arrived) for _, ended, arrived in await setup.stored()] == [(3, 2)]


async def test_an_answer_without_end_is_cut_off(health_database: RoleAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer()
    peer.instead = Response(200, b" " * 5_000_000)
    async with collecting(health_database, peer) as setup:
        with pytest.raises(NoAnswer, match="more than"):
            await setup.collector._sources[0].client.since(0)


async def test_a_wrong_token_is_silence(health_database: RoleAccess) -> None:
    peer = Peer()
    async with collecting(health_database, peer, token="another") as setup:
        peer.passes(1)
        await setup.ask()
        assert await setup.stored() == []
        assert len(await setup.rows("SELECT * FROM silence")) == 1


async def test_without_a_database_nothing_is_lost(health_database: RoleAccess, pg_server: Any) -> None:
    peer = Peer()
    async with collecting(health_database, peer) as setup:
        peer.passes(2)
        with psycopg.connect(pg_server.url(), autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {health_database.database} ALLOW_CONNECTIONS false".encode())
            with pytest.raises(StoreFault):
                await setup.ask()
            admin.execute(f"ALTER DATABASE {health_database.database} ALLOW_CONNECTIONS true".encode())
        await setup.ask()
        assert len(await setup.stored()) == 2


async def test_the_judge_reads_each_row_once_in_order(health_database: RoleAccess) -> None:
    core, gateway = Peer(), Peer()
    gateway.counts = Counts(time=gateway.now_ms)
    gateway.tally = gateway.counts.tally("corridor:bank-a")
    async with collecting(health_database, core, gateway) as setup:
        core.tally.good()
        gateway.tally.fail("timeout")
        for peer in (core, gateway):
            peer.passes(2)
        await asyncio.gather(setup.ask(0), setup.ask(1))
        first = await setup.collector.latest(0)
        assert set(first.intervals) == {"role:core", "corridor:bank-a"}
        assert [interval.ended for interval in first.intervals["role:core"]] == [1, 0]
        assert first.intervals["corridor:bank-a"][0].failed == {"timeout": 1}
        assert first.intervals["role:core"][0].at_s < first.intervals["role:core"][1].at_s
        assert first.silences == ()
        assert await setup.collector.latest(first.upto) == replace(first, intervals={}, silences=())
        core.instead = Response(503)
        gateway.passes(1)
        await asyncio.gather(setup.ask(0), setup.ask(1))
        second = await setup.collector.latest(first.upto)
        assert set(second.intervals) == {"corridor:bank-a"}
        assert [silence.source for silence in second.silences] == ["core"]
        assert second.upto > first.upto


async def test_a_reader_misses_nothing_of_writers_beside_each_other(health_database: RoleAccess) -> None:
    lanes = Lanes(health_database.app_url, size=6, name="test health")

    async def write(writer: int) -> None:
        for number in range(25):
            found = [IntervalRow(f"role:w{writer}", f"s{writer}", number * 5_000, 5_000)]
            stands = SourceRow(f"s{writer}", "life", number + 1, 0, 0)
            await lanes.run(lambda conn, f=found, s=stands: rows.add(conn, f, s), deadline_s=10)  # type: ignore[misc]
            await lanes.run(lambda conn, n=number: rows.add_silence(conn, f"s{writer}", n), deadline_s=10)  # type: ignore[misc]

    seen: list[int] = []

    async def read() -> None:
        upto = 0
        while len(seen) < 4 * 25 * 2:
            intervals, silences = await lanes.run(lambda conn, u=upto: rows.since(conn, u, 7), deadline_s=10)  # type: ignore[misc]
            fresh = sorted([row.seq for row in intervals] + [row.seq for row in silences])
            upto = max([upto, *fresh])
            seen.extend(fresh)

    await asyncio.wait_for(asyncio.gather(*(write(number) for number in range(4)), read()), 60)
    assert len(seen) == len(set(seen)) == 200
    assert seen == sorted(seen)
    await lanes.close()


async def test_history_and_names_are_read_by_their_index(health_database: RoleAccess) -> None:
    lanes = Lanes(health_database.app_url, size=1, name="test health")
    found = [IntervalRow(f"corridor:b{n % 3}", "gateway", n * 5_000, 5_000, ended=n) for n in range(30)]
    await lanes.run(lambda conn: rows.add(conn, found, SourceRow("gateway", "life", 30, 0, 0)), deadline_s=10)
    past = await lanes.run(lambda conn: rows.history(conn, "corridor:b1", 20_000, 100_000), deadline_s=10)
    assert [row.ended for row in past] == [4, 7, 10, 13, 16, 19]
    assert await lanes.run(rows.known_series, deadline_s=10) == ["corridor:b0", "corridor:b1", "corridor:b2"]
    await lanes.close()


async def test_old_evidence_goes_in_small_parts_and_the_rest_stays(
    health_database: RoleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRUNE_ROWS", 10)
    monkeypatch.setattr(module, "PRUNE_PAUSE_S", 0.0)
    now_ms = clock.now_ms()
    old_ms, young_ms = now_ms - KEPT_MS - 60_000, now_ms - KEPT_MS + 60_000
    with psycopg.connect(health_database.owner_url, autocommit=True) as owner:
        for at_ms in (old_ms, young_ms):
            owner.execute(
                "INSERT INTO signal_interval (series, source, at_ms, width_ms, arrived, ended)"
                " SELECT 'role:core', 's' || n, %s, 5000, 0, 0 FROM generate_series(1, 35) n",
                (at_ms,),
            )
            owner.execute("INSERT INTO silence (source, at_ms) VALUES ('core', %s)", (at_ms,))
            owner.execute(
                "INSERT INTO probe_result VALUES (gen_random_uuid(), 'v', 'p', 'c', %s, 1, true, 1, '')", (at_ms,)
            )
            owner.execute(
                "INSERT INTO report VALUES (gen_random_uuid(), %s, 'c', %s, 'desk', '2026-01-01', 1)",
                (at_ms, at_ms.to_bytes(32, "big")),
            )
            owner.execute("INSERT INTO refused_input VALUES ('flood', %s, 1)", (at_ms,))
    lanes = Lanes(health_database.app_url, size=1, name="test health")
    collector = Collector(lanes, [])
    (loop,) = (asyncio.create_task(one) for one in collector.workers())
    counts = "SELECT " + ", ".join(
        f"(SELECT count(*) FROM {t})" for t in ("signal_interval", "silence", "probe_result", "report", "refused_input")
    )
    with psycopg.connect(health_database.reader_url, autocommit=True) as reader:
        ends = time.monotonic() + 20
        while reader.execute(counts.encode()).fetchone() != (35, 1, 1, 1, 1):
            assert time.monotonic() < ends
            await asyncio.sleep(0.02)
        assert reader.execute("SELECT min(at_ms) FROM signal_interval").fetchone() == (young_ms,)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    await lanes.close()


async def test_no_call_leaves_while_a_transaction_is_open(health_database: RoleAccess) -> None:
    lanes = Lanes(health_database.app_url, size=1, name="test health")

    async def work(conn: Any) -> None:
        await call(asyncio.get_running_loop().create_future())

    with pytest.raises(InvariantBroken, match="inside a database transaction"):
        await lanes.run(work, deadline_s=5)
    await lanes.close()
