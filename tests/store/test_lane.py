"""Lanes keep deadlines whatever the peer does, drop what is in doubt, and leak nothing (R10, F3, F23-F25, F39)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from proxy import Mode, Proxy

from hakika import clock
from hakika.domain.reasons import InvariantBroken
from hakika.store.embedded import EmbeddedPostgres, RoleAccess
from hakika.store.lane import Lane, Lanes, NoAnswer, StoreFault, in_transaction

Connection = psycopg.AsyncConnection[Any]
LATE_S = 1.0  # a busy machine; whoever waits past a deadline waits for seconds, or for ever
CANCELLATIONS = 1_500


@pytest.fixture
def database(core_database: RoleAccess) -> RoleAccess:
    """A database with a table whose rows have ids."""
    with psycopg.connect(core_database.owner_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE written (id integer PRIMARY KEY)")
    return core_database


@pytest.fixture
async def lane(database: RoleAccess) -> AsyncIterator[Lane]:
    made = Lane(database.owner_url, name="tests lane")
    yield made
    await made.close()


async def backend(connection: Connection) -> int:
    row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    assert row is not None
    return int(row[0])


async def sleep_long(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(60)")


def inserting(number: int) -> Callable[[Connection], Awaitable[bool]]:
    """Insert by id; False when it was there already."""

    async def work(connection: Connection) -> bool:
        cursor = await connection.execute("INSERT INTO written VALUES (%s) ON CONFLICT DO NOTHING", (number,))
        return cursor.rowcount == 1

    return work


async def elapsed(work: Awaitable[object]) -> tuple[float, BaseException | None]:
    """How long it took and what it raised."""
    start_s = clock.monotonic_s()
    caught: BaseException | None = None
    try:
        await work
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is what is tested
        caught = error
    return clock.monotonic_s() - start_s, caught


async def eventually(question: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> bool:
    ends_s = clock.monotonic_s() + within_s
    while not await question():
        if clock.monotonic_s() > ends_s:
            return False
        await asyncio.sleep(0.05)
    return True


async def test_connection_is_kept_and_named(lane: Lane) -> None:
    async def name(connection: Connection) -> object:
        return await (await connection.execute("SHOW application_name")).fetchone()

    first = await lane.run(backend, deadline_s=2)
    assert await lane.run(name, deadline_s=2) == ("tests lane",)
    assert await lane.run(backend, deadline_s=2) == first


async def test_setup_is_applied_to_each_connection(database: RoleAccess, pg_server: EmbeddedPostgres) -> None:
    lane = Lane(database.owner_url, name="tests setup", setup=("SET enable_seqscan = off",))

    async def ask(connection: Connection) -> object:
        return await (await connection.execute("SHOW enable_seqscan")).fetchone()

    assert await lane.run(ask, deadline_s=2) == ("off",)
    terminate(pg_server, await lane.run(backend, deadline_s=2))
    assert await lane.run(ask, deadline_s=2) == ("off",)
    await lane.close()


async def test_in_transaction_only_inside(lane: Lane) -> None:
    async def ask(_: Connection) -> bool:
        return in_transaction()

    assert not in_transaction()
    assert await lane.run(ask, deadline_s=2)
    assert not in_transaction()


async def test_deadline_cuts_a_slow_statement(lane: Lane, pg_server: EmbeddedPostgres) -> None:
    first = await lane.run(backend, deadline_s=2)
    took_s, error = await elapsed(lane.run(sleep_long, deadline_s=0.3))
    assert isinstance(error, NoAnswer)
    assert took_s < 0.3 + LATE_S
    assert await lane.run(backend, deadline_s=2) != first

    async def ended() -> bool:
        return not alive(pg_server, first)

    assert await eventually(ended), "the server must notice that its caller has gone"


@pytest.mark.parametrize("mode", ["swallow", "withhold", "stall"])
async def test_deadline_holds_before_a_silent_peer(database: RoleAccess, mode: Mode) -> None:
    """psycopg alone waits for ten seconds more here."""
    async with Proxy(database.owner_url) as proxy:
        lane = Lane(proxy.url, name="tests silent")
        await lane.run(backend, deadline_s=2)
        proxy.mode = mode
        took_s, error = await elapsed(lane.run(inserting(1), deadline_s=0.5))
        assert isinstance(error, NoAnswer)
        assert 0.48 <= took_s < 0.5 + LATE_S
        proxy.mode = "pass"
        # The lost reply is settled by executing the same insert again, whatever happened to the first.
        fresh = await lane.run(inserting(1), deadline_s=2)
        assert mode == "stall" or fresh is (mode == "swallow")
        assert await lane.run(inserting(1), deadline_s=2) is False
        await lane.close()


async def test_deadline_holds_while_sending_to_a_peer_that_does_not_read(database: RoleAccess) -> None:
    async with Proxy(database.owner_url) as proxy:
        lane = Lane(proxy.url, name="tests stalled")
        await lane.run(backend, deadline_s=2)
        proxy.mode = "stall"

        async def send(connection: Connection) -> None:
            await connection.execute("SELECT length(%s)", ("x" * 20_000_000,))

        took_s, error = await elapsed(lane.run(send, deadline_s=0.5))
        assert isinstance(error, NoAnswer)
        assert took_s < 0.5 + LATE_S
        await lane.close()


async def test_silent_while_connecting_sends_nothing(database: RoleAccess) -> None:
    async with Proxy(database.owner_url) as proxy:
        proxy.mode = "withhold"
        lane = Lane(proxy.url, name="tests connecting")
        took_s, error = await elapsed(lane.run(backend, deadline_s=0.5))
        assert type(error) is StoreFault
        assert took_s < 0.5 + LATE_S
        proxy.mode = "refuse"
        took_s, error = await elapsed(lane.run(backend, deadline_s=2))
        assert type(error) is StoreFault
        assert took_s < LATE_S
        proxy.mode = "pass"
        assert await lane.run(backend, deadline_s=2)
        await lane.close()


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        lane = Lane(f"postgresql://u:p@127.0.0.1:{taken.getsockname()[1]}/d", name="tests nobody")
        took_s, error = await elapsed(lane.run(backend, deadline_s=2))
    assert type(error) is StoreFault
    assert took_s < LATE_S
    await lane.close()


async def test_reset_in_the_middle_is_no_answer(database: RoleAccess) -> None:
    async with Proxy(database.owner_url) as proxy:
        lane = Lane(proxy.url, name="tests reset")
        await lane.run(backend, deadline_s=2)
        work = asyncio.create_task(lane.run(sleep_long, deadline_s=5))
        await asyncio.sleep(0.1)
        proxy.reset_all()
        took_s, error = await elapsed(work)
        assert isinstance(error, NoAnswer)
        assert took_s < LATE_S
        assert await lane.run(backend, deadline_s=2)
        await lane.close()


async def test_backend_killed_while_idle_costs_nothing(lane: Lane, pg_server: EmbeddedPostgres) -> None:
    first = await lane.run(backend, deadline_s=2)
    terminate(pg_server, first)
    assert await lane.run(backend, deadline_s=2) != first


async def test_backend_killed_at_work_is_no_answer(lane: Lane, pg_server: EmbeddedPostgres) -> None:
    first = await lane.run(backend, deadline_s=2)
    work = asyncio.create_task(lane.run(sleep_long, deadline_s=5))
    await asyncio.sleep(0.1)
    terminate(pg_server, first)
    _, error = await elapsed(work)
    assert isinstance(error, NoAnswer)
    assert await lane.run(backend, deadline_s=2) != first


async def test_refusal_by_postgresql_passes_and_keeps_the_connection(lane: Lane) -> None:
    async def twice(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("INSERT INTO written VALUES (7)")
            await connection.execute("INSERT INTO written VALUES (7)")

    async def twice_by_hand(connection: Connection) -> None:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO written VALUES (7)")
        await connection.execute("INSERT INTO written VALUES (7)")

    async def twice_in_pipeline(connection: Connection) -> None:
        async with connection.pipeline():
            await connection.execute("BEGIN")
            await connection.execute("INSERT INTO written VALUES (7)")
            await connection.execute("INSERT INTO written VALUES (7)")
            await connection.execute("COMMIT")

    first = await lane.run(backend, deadline_s=2)
    for work in (twice, twice_by_hand, twice_in_pipeline):
        with pytest.raises(psycopg.errors.UniqueViolation):
            await lane.run(work, deadline_s=2)
        assert await lane.run(inserting(7), deadline_s=2), "rolled back"
        await lane.run(forget_all, deadline_s=2)
    assert await lane.run(backend, deadline_s=2) == first


async def test_refusal_by_our_own_trigger_is_an_answer(lane: Lane) -> None:
    """SQLSTATE class HK, which psycopg takes for an OperationalError as it does every unknown class."""

    async def refused(connection: Connection) -> None:
        await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'HK001'; END $$")

    first = await lane.run(backend, deadline_s=2)
    with pytest.raises(psycopg.Error) as caught:
        await lane.run(refused, deadline_s=2)
    assert caught.value.sqlstate == "HK001"
    assert await lane.run(backend, deadline_s=2) == first


async def forget_all(connection: Connection) -> None:
    await connection.execute("DELETE FROM written")


async def test_open_transaction_is_a_bug(lane: Lane) -> None:
    async def forget(connection: Connection) -> None:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO written VALUES (9)")

    first = await lane.run(backend, deadline_s=2)
    with pytest.raises(InvariantBroken):
        await lane.run(forget, deadline_s=2)
    assert await lane.run(backend, deadline_s=2) != first
    assert await lane.run(inserting(9), deadline_s=2)


async def test_own_errors_pass_and_drop_the_connection(lane: Lane) -> None:
    async def fail(connection: Connection) -> None:
        await connection.execute("BEGIN")
        raise ValueError("ours")

    async def time_out(_: Connection) -> None:
        raise TimeoutError("ours")

    first = await lane.run(backend, deadline_s=2)
    with pytest.raises(ValueError, match="ours"):
        await lane.run(fail, deadline_s=2)
    assert await lane.run(backend, deadline_s=2) != first
    with pytest.raises(TimeoutError, match="ours"):
        await lane.run(time_out, deadline_s=2)


async def test_work_that_waits_for_something_else_is_bounded(lane: Lane) -> None:
    async def wait(_: Connection) -> None:
        await asyncio.sleep(30)

    took_s, error = await elapsed(lane.run(wait, deadline_s=0.2))
    assert isinstance(error, NoAnswer)
    assert took_s < 0.2 + LATE_S


async def test_answer_of_the_last_moment_counts(lane: Lane) -> None:
    """The deadline passes after the reply has come: what is known is not called unknown."""

    async def work(connection: Connection) -> str:
        await backend(connection)
        clock_stops_s = clock.monotonic_s() + 0.3
        while clock.monotonic_s() < clock_stops_s:  # the loop is blocked past the deadline
            pass
        return "known"

    assert await lane.run(work, deadline_s=0.2) == "known"
    assert await lane.run(backend, deadline_s=2)


async def test_cancelled_caller_leaves_at_once_and_drops_the_connection(database: RoleAccess) -> None:
    async with Proxy(database.owner_url) as proxy:
        lane = Lane(proxy.url, name="tests cancelled")
        first = await lane.run(backend, deadline_s=2)
        proxy.mode = "swallow"
        work = asyncio.create_task(lane.run(sleep_long, deadline_s=30))
        await asyncio.sleep(0.1)
        work.cancel()
        took_s, error = await elapsed(work)
        assert isinstance(error, asyncio.CancelledError)
        assert took_s < LATE_S
        proxy.mode = "pass"
        assert await lane.run(backend, deadline_s=2) != first
        await lane.close()


async def test_busy_lane_bounds_the_wait(lane: Lane) -> None:
    await lane.run(backend, deadline_s=2)
    long = asyncio.create_task(lane.run(sleep_long, deadline_s=1.5))
    await asyncio.sleep(0.05)
    took_s, error = await elapsed(lane.run(backend, deadline_s=0.2))
    assert type(error) is StoreFault
    assert took_s < 0.2 + LATE_S
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)
    assert await lane.run(backend, deadline_s=2)


async def test_lanes_take_a_free_one_and_bound_the_wait(database: RoleAccess) -> None:
    lanes = Lanes(database.owner_url, size=2, name="tests lanes")
    long = asyncio.create_task(lanes.run(sleep_long, deadline_s=5))
    await asyncio.sleep(0.1)
    assert await lanes.run(backend, deadline_s=2) == await lanes.run(backend, deadline_s=2)
    other = asyncio.create_task(lanes.run(sleep_long, deadline_s=5))
    await asyncio.sleep(0.05)
    took_s, error = await elapsed(lanes.run(backend, deadline_s=0.2))
    assert type(error) is StoreFault
    assert took_s < 0.2 + LATE_S
    for task in (long, other):
        task.cancel()
    await asyncio.gather(long, other, return_exceptions=True)
    await lanes.close()
    with pytest.raises(StoreFault):
        await lanes.run(backend, deadline_s=1)


async def test_commit_without_its_replica_is_no_answer(lane: Lane, pg_server: EmbeddedPostgres) -> None:
    """A cancelled wait for the synchronous replica reports success: here it is called unknown (F41)."""
    stuck = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with psycopg.connect(pg_server.url(), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        admin.execute("SELECT pg_reload_conf()")
        try:
            for number in range(100):  # until the server has taken notice
                work = asyncio.create_task(lane.run(inserting(number), deadline_s=20))
                await asyncio.wait((work,), timeout=0.2)
                if not work.done():
                    break
            while not work.done():
                admin.execute(f"SELECT pg_cancel_backend(pid) {stuck}".encode())
                await asyncio.wait((work,), timeout=0.1)
            _, error = await elapsed(work)
        finally:
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
    assert isinstance(error, NoAnswer)
    assert "without its replica" in str(error)
    assert await lane.run(inserting(number), deadline_s=10) is False


async def test_random_cancellations_leak_nothing(database: RoleAccess, pg_server: EmbeddedPostgres) -> None:
    """F39, psycopg #1345: callers cancelled at any moment, connecting, queueing, sending or receiving."""
    lanes = Lanes(database.owner_url, size=4, name="tests storm")
    dice = clock.seeded(20230727)
    for _ in range(4):
        await lanes.run(backend, deadline_s=5)
    descriptors = open_descriptors()

    async def work(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("INSERT INTO written VALUES (%s)", (dice.randrange(1 << 30),))
            await connection.execute("SELECT pg_sleep(%s)", (dice.random() * 0.004,))

    async def one() -> None:
        task = asyncio.create_task(lanes.run(work, deadline_s=5))
        await asyncio.sleep(dice.random() * 0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    slowest_s = 0.0
    for _ in range(CANCELLATIONS // 10):
        took_s, _ = await elapsed(asyncio.gather(*(one() for _ in range(10))))
        slowest_s = max(slowest_s, took_s)
    assert slowest_s < 0.01 + LATE_S
    values = await asyncio.gather(*(lanes.run(backend, deadline_s=5) for _ in range(20)))
    assert 1 <= len(set(values)) <= 4

    async def settled() -> bool:
        return backends(pg_server, "tests storm/%") <= 4

    assert await eventually(settled), backends(pg_server, "tests storm/%")
    assert open_descriptors() <= descriptors + 3
    await lanes.close()


async def test_lane_adds_little(lane: Lane) -> None:
    """A task a call: kept under half a millisecond, so that a batch does not feel it."""

    async def nothing(_: Connection) -> None:
        return None

    await lane.run(nothing, deadline_s=2)
    start_s = clock.monotonic_s()
    for _ in range(1_000):
        await lane.run(nothing, deadline_s=2)
    each_s = (clock.monotonic_s() - start_s) / 1_000
    print(f"Lane.run adds {each_s * 1e6:.0f} us")
    assert each_s < 0.0005


def terminate(server: EmbeddedPostgres, pid: int) -> None:
    """Kill one backend and wait until it has gone."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 2000)", (pid,))


def alive(server: EmbeddedPostgres, pid: int) -> bool:
    return count(server, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pid) == 1


def backends(server: EmbeddedPostgres, name: str) -> int:
    return count(server, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s", name)


def count(server: EmbeddedPostgres, query: str, value: object) -> int:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        row = admin.execute(query.encode(), (value,)).fetchone()
    assert row is not None
    return int(row[0])


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_call_outlives_its_deadline_in_a_storm(database: RoleAccess) -> None:
    """R10: the peer changes its mind all the time; the slowest call past its deadline is printed."""
    dice = clock.seeded(7)
    over: list[float] = []
    answers = {True: 0, False: 0}
    async with Proxy(database.owner_url) as proxy:
        lanes = Lanes(proxy.url, size=3, name="tests weather")

        async def call(number: int) -> None:
            deadline_s = 0.02 + dice.random() * 0.2
            took_s, error = await elapsed(lanes.run(inserting(number), deadline_s=deadline_s))
            assert error is None or isinstance(error, StoreFault), error
            over.append(took_s - deadline_s)
            answers[error is None] += 1

        modes: list[Mode] = ["pass", "swallow", "withhold", "stall", "refuse"]
        for turn in range(40):
            proxy.mode = modes[turn % 2 * dice.randrange(len(modes))]
            await asyncio.gather(*(call(turn * 8 + each) for each in range(8)))
        proxy.mode = "pass"
        assert await lanes.run(backend, deadline_s=5)
        await lanes.close()
    print(f"slowest call: {max(over):.3f} s past its deadline; answered or not: {answers}")
    assert max(over) < LATE_S
    assert min(answers.values()) > 10
