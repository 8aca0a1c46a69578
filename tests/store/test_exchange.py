"""A transaction's questions leave together, its writes with COMMIT; it is all or nothing whatever happens inside."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from hakika.domain.reasons import InvariantBroken
from hakika.store.embedded import RoleAccess
from hakika.store.exchange import Connection, begin, leave, transaction
from hakika.store.lane import Lane, NoAnswer

ANSWER_S = 10.0
BIG = 6_000_000  # more than sockets on the way hold
DATA_SEGMENTS_OUT = 156  # where struct tcp_info has tcpi_data_segs_out (Linux 4.6)
Work = Callable[[psycopg.AsyncConnection[Any]], Awaitable[Any]]


@pytest.fixture
async def lane(core_database: RoleAccess) -> AsyncIterator[Lane]:
    with psycopg.connect(core_database.owner_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE written (id integer PRIMARY KEY)")
    made = Lane(core_database.owner_url, name="tests exchange")
    yield made
    await made.close()


def sends(conn: psycopg.AsyncConnection[Any]) -> int:
    """How often something has been sent: libpq sets TCP_NODELAY, so each send of a few bytes is a segment."""
    with socket.socket(fileno=os.dup(conn.pgconn.socket)) as held:
        info = held.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, DATA_SEGMENTS_OUT + 4)
    (count,) = struct.unpack_from("I", info, DATA_SEGMENTS_OUT)
    return int(count)


async def written(lane: Lane) -> list[int]:
    async def work(conn: psycopg.AsyncConnection[Any]) -> list[int]:
        return [row[0] for row in await (await conn.execute("SELECT id FROM written ORDER BY id")).fetchall()]

    return await lane.run(work, deadline_s=ANSWER_S)


async def add(conn: psycopg.AsyncConnection[Any], *numbers: int) -> None:
    for number in numbers:
        await conn.execute("INSERT INTO written VALUES (%s)", (number,))


async def test_questions_leave_in_one_send_and_writes_with_the_commit(lane: Lane) -> None:
    async def work(conn: psycopg.AsyncConnection[Any]) -> list[int]:
        sent = [sends(conn)]
        async with transaction(conn):
            asked = [await conn.execute("SELECT %s::integer", (number,)) for number in (7, 8, 9)]
            found = [row[0] for one in asked if (row := await one.fetchone())]
            sent.append(sends(conn))
            await conn.execute("DELETE FROM written")
            await add(conn, *found)
        sent.append(sends(conn))
        assert found == [7, 8, 9]
        return [after - before for before, after in pairwise(sent)]

    for _ in range(8):  # beyond the number after which statements are prepared
        assert await lane.run(work, deadline_s=ANSWER_S) == [1, 1]
    assert await written(lane) == [7, 8, 9]


async def test_what_has_left_is_being_done_before_the_rest_is_asked(lane: Lane, core_database: RoleAccess) -> None:
    async def work(conn: psycopg.AsyncConnection[Any]) -> list[bool]:
        found: list[bool] = []
        async with transaction(conn):
            await conn.execute("SELECT pg_advisory_xact_lock(77)")
            found.append(await is_free())
            await leave(conn)
            async with asyncio.timeout(ANSWER_S):
                while await is_free():  # noqa: ASYNC110 - only the server knows
                    await asyncio.sleep(0.01)
            await add(conn, 1)
        return found

    async def is_free() -> bool:
        async with await psycopg.AsyncConnection.connect(core_database.owner_url) as other:
            row = await (await other.execute("SELECT pg_try_advisory_xact_lock(77)")).fetchone()
            return row == (True,)

    assert await lane.run(work, deadline_s=2 * ANSWER_S) == [True]
    assert await written(lane) == [1]


async def refused_before_it_is_known(conn: psycopg.AsyncConnection[Any]) -> None:
    async with transaction(conn):
        await add(conn, 1, 1)
        await leave(conn)
        await add(conn, 2)


async def be_refused(conn: psycopg.AsyncConnection[Any]) -> None:
    """The refusal has come, and nobody has looked."""
    await add(conn, 1, 1)
    await leave(conn)
    await asyncio.sleep(0.05)


async def refused_when_it_leaves(conn: psycopg.AsyncConnection[Any]) -> None:
    async with transaction(conn):
        await be_refused(conn)
        await add(conn, 2)
        await leave(conn)
        await add(conn, 3)


async def refused_with_more_to_come_than_the_socket_takes(conn: psycopg.AsyncConnection[Any]) -> None:
    async with transaction(conn):
        await be_refused(conn)
        with socket.socket(fileno=os.dup(conn.pgconn.socket)) as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await conn.execute("SELECT length(%s)", ("y" * (BIG // 12),))


async def test_psycopg_itself_sends_each_by_itself(core_database: RoleAccess) -> None:
    """Once it does not, `exchange.py` is not needed any more."""
    async with await psycopg.AsyncConnection.connect(core_database.owner_url, autocommit=True) as conn:
        before = sends(conn)
        async with conn.pipeline(), conn.transaction():
            for number in (7, 8, 9):
                await conn.execute("SELECT %s::integer", (number,))
        assert sends(conn) - before > 3


async def refused_at_a_fetch(conn: psycopg.AsyncConnection[Any]) -> None:
    async with transaction(conn):
        await add(conn, 1, 1, 2)
        await (await conn.execute("SELECT 1")).fetchall()


async def refused_at_the_end(conn: psycopg.AsyncConnection[Any]) -> None:
    async with transaction(conn):
        await add(conn, 1, 2, 1, 3)


async def refused_while_the_rest_leaves(conn: psycopg.AsyncConnection[Any]) -> None:
    async with transaction(conn):
        await add(conn, 1, 1)
        for _ in range(2):
            await conn.execute("SELECT length(%s)", ("y" * BIG,))


REFUSED = [
    refused_at_a_fetch,
    refused_at_the_end,
    refused_while_the_rest_leaves,
    refused_before_it_is_known,
    refused_when_it_leaves,
    refused_with_more_to_come_than_the_socket_takes,
]


@pytest.mark.parametrize("work", REFUSED)
async def test_a_refusal_passes_through_and_the_connection_stays(lane: Lane, work: Work) -> None:
    async def backend(conn: psycopg.AsyncConnection[Any]) -> int:
        return conn.info.backend_pid

    before = await lane.run(backend, deadline_s=ANSWER_S)
    for _ in range(8):  # beyond the number after which statements are prepared
        with pytest.raises(psycopg.errors.UniqueViolation):
            await lane.run(work, deadline_s=ANSWER_S)
        assert await written(lane) == []
    assert await lane.run(backend, deadline_s=ANSWER_S) == before


async def test_what_fails_inside_is_undone(lane: Lane) -> None:
    async def work(conn: psycopg.AsyncConnection[Any]) -> None:
        async with transaction(conn):
            await add(conn, 1)
            await (await conn.execute("SELECT 1")).fetchall()
            await add(conn, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await lane.run(work, deadline_s=ANSWER_S)
    assert await written(lane) == []


async def test_a_swallowed_refusal_is_no_commit(lane: Lane) -> None:
    async def work(conn: psycopg.AsyncConnection[Any]) -> None:
        async with transaction(conn):
            await add(conn, 1)
            with suppress(psycopg.errors.DivisionByZero):
                async with conn.pipeline():
                    await conn.execute("SELECT 1 / 0")

    async def work_in_one_piece(conn: psycopg.AsyncConnection[Any]) -> None:
        async with transaction(conn):
            await add(conn, 1)
            with suppress(psycopg.errors.DivisionByZero):
                await (await conn.execute("SELECT 1 / 0")).fetchall()

    with pytest.raises(InvariantBroken, match="ROLLBACK"):
        await lane.run(work, deadline_s=ANSWER_S)
    with pytest.raises(NoAnswer):
        await lane.run(work_in_one_piece, deadline_s=ANSWER_S)
    assert await written(lane) == []


async def test_more_than_fits_into_a_socket_either_way(lane: Lane) -> None:
    async def work(conn: psycopg.AsyncConnection[Any]) -> list[int]:
        async with transaction(conn):
            asked = [await conn.execute("SELECT %s::text || 'x'", ("y" * BIG,)) for _ in range(3)]
            return [len(row[0]) for one in asked if (row := await one.fetchone())]

    assert await lane.run(work, deadline_s=3 * ANSWER_S) == [BIG + 1] * 3


async def test_many_commands_without_a_question(lane: Lane) -> None:
    async def work(conn: psycopg.AsyncConnection[Any]) -> int:
        before = sends(conn)
        async with transaction(conn):
            await add(conn, *range(2000))
        return sends(conn) - before

    assert await lane.run(work, deadline_s=ANSWER_S) < 20, "libpq's buffer, filled a few times"
    assert await written(lane) == list(range(2000))


async def test_nothing_begins_outside_a_pipeline(core_database: RoleAccess) -> None:
    async with await Connection.connect(core_database.owner_url, autocommit=True) as conn:
        with pytest.raises(InvariantBroken):
            begin(conn)
        with pytest.raises(InvariantBroken):
            await leave(conn)


async def test_outside_a_pipeline_it_is_a_connection_like_any(core_database: RoleAccess) -> None:
    async with await Connection.connect(core_database.owner_url, autocommit=True) as conn:
        assert await (await conn.execute("SELECT 1")).fetchone() == (1,)
        async with conn.transaction():
            assert await (await conn.execute("SELECT 2")).fetchone() == (2,)
