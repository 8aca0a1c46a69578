"""The link to a database, before a real PostgreSQL: nothing is lost on it, and slow means so many times as slow."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from hakika.simulator.faults import FaultsRefused, Mode
from hakika.simulator.links import Links, UnknownLink, link_specs
from hakika.simulator.relay import HEALTHY_MAX_S, Relay
from hakika.store.embedded import RoleAccess
from hakika.store.lane import Lane, NoAnswer

TAKES_S = 0.02


@pytest.fixture
async def relay(core_database: RoleAccess) -> AsyncIterator[Relay]:
    made = Relay("core-postgres", urlsplit(core_database.app_url).port or 0)
    await made.start()
    yield made
    await made.stop()


def through(relay: Relay, url: str) -> str:
    """The same database, by way of the link."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{relay.port}"))


async def connected(relay: Relay, database: RoleAccess) -> "psycopg.AsyncConnection[tuple[object, ...]]":
    return await psycopg.AsyncConnection.connect(through(relay, database.app_url), autocommit=True)


async def timed(connection: "psycopg.AsyncConnection[tuple[object, ...]]") -> float:
    """Seconds that a statement takes which keeps the server busy for TAKES_S."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await connection.execute("SELECT pg_sleep(%s)", (TAKES_S,))
    return loop.time() - began_s


async def test_passes_everything_on_while_it_is_open(relay: Relay, core_database: RoleAccess) -> None:
    connection = await connected(relay, core_database)
    wide = await (await connection.execute("SELECT repeat('x', 1000000)")).fetchone()
    assert wide is not None and len(str(wide[0])) == 1_000_000
    async with connection.pipeline():
        cursors = [await connection.execute("SELECT %s::int", (number,)) for number in range(50)]
    assert [(await cursor.fetchone() or (None,))[0] for cursor in cursors] == list(range(50))
    with pytest.raises(psycopg.errors.DivisionByZero):
        await connection.execute("SELECT 1 / 0")
    assert relay.owed_s == 0 and relay.connections == 1
    await connection.close()


async def test_slow_is_so_many_times_what_the_server_took(relay: Relay, core_database: RoleAccess) -> None:
    connection = await connected(relay, core_database)
    assert await timed(connection) < 8 * TAKES_S
    relay.times = 20
    await relay.set_mode(Mode.SLOW)
    slow_s = await timed(connection)
    assert slow_s >= 20 * TAKES_S
    assert relay.owed_s >= 19 * TAKES_S
    assert slow_s <= 20 * HEALTHY_MAX_S + 1.0  # a hiccup of this machine is not multiplied without end
    await relay.set_mode(Mode.OPEN)
    assert await timed(connection) < 8 * TAKES_S
    await connection.close()


async def test_all_connections_share_what_there_is(relay: Relay, core_database: RoleAccess) -> None:
    connections = [await connected(relay, core_database) for _ in range(4)]
    relay.times = 10
    await relay.set_mode(Mode.SLOW)
    began_s = asyncio.get_running_loop().time()
    await asyncio.gather(*(timed(connection) for connection in connections))
    took_s = asyncio.get_running_loop().time() - began_s
    assert took_s >= 4 * 9 * TAKES_S  # one after the other, not side by side
    for connection in connections:
        await connection.close()


async def test_mending_frees_who_waits(relay: Relay, core_database: RoleAccess) -> None:
    connections = [await connected(relay, core_database) for _ in range(3)]
    relay.times = 100
    await relay.set_mode(Mode.SLOW)
    waiting = [asyncio.create_task(timed(connection)) for connection in connections]
    await asyncio.sleep(0.3)
    await relay.set_mode(Mode.OPEN)
    done, _ = await asyncio.wait(waiting, timeout=100 * HEALTHY_MAX_S + 1.0)
    assert len(done) == 3
    assert relay.owed_s <= 100 * HEALTHY_MAX_S  # only the one that was served at that moment waited it out
    for connection in connections:
        await connection.close()


async def test_who_gives_up_is_gone_on_both_sides(relay: Relay, core_database: RoleAccess) -> None:
    lane = Lane(through(relay, core_database.app_url), name="relayed")

    async def work(connection: "psycopg.AsyncConnection[tuple[object, ...]]") -> None:
        await connection.execute("SELECT pg_sleep(%s)", (TAKES_S,))

    await lane.run(work, deadline_s=5)
    relay.times = 500
    await relay.set_mode(Mode.SLOW)
    with pytest.raises(NoAnswer):
        await lane.run(work, deadline_s=0.3)
    await relay.set_mode(Mode.OPEN)
    await lane.run(work, deadline_s=5)
    assert relay.connections == 1
    await lane.close()


async def test_a_database_that_is_gone_ends_the_connection(core_database: RoleAccess) -> None:
    relay = Relay("core-postgres", 1)
    await relay.start()
    with pytest.raises(psycopg.OperationalError):
        await connected(relay, core_database)
    await relay.stop()


async def test_only_what_a_database_can_be(relay: Relay, core_database: RoleAccess) -> None:
    for mode in (Mode.BLACKHOLE, Mode.BUSY, Mode.DEAF, Mode.REFUSE):
        with pytest.raises(FaultsRefused, match="open or slow"):
            await relay.set_mode(mode)
    links = Links(link_specs(("bank-a",), ("core-postgres",)), seed=1)
    ports = {"core": 1, "gateway": 1, "bank-a": 1}
    await links.open(ports, dict.fromkeys((spec.name for spec in links.specs), 0))
    with pytest.raises(UnknownLink):
        await links.slow("core-postgres", 50)  # it is opened with its database
    await links.open_database("core-postgres", urlsplit(core_database.app_url).port or 0, 0)
    for name, times in (("gateway-core", 50.0), ("core-postgres", 1.0), ("core-postgres", 1e9)):
        with pytest.raises(FaultsRefused):
            await links.slow(name, times)
    await links.slow("core-postgres", 50)
    assert links.broken() == {"core-postgres": Mode.SLOW}
    assert len(links.cuts("core-postgres")) == 1
    assert [row["mode"] for row in links.table() if row["link"] == "core-postgres"] == ["slow"]
    await links.close()
