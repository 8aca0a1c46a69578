"""Calls to the core: what was written decides between "not sent" and "no answer", and only a stored answer is one.

Servers of a few lines that misbehave in one way each; nothing of the core is here.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from hakika.outbound import core as outbound
from hakika.outbound.core import CoreClient, NoAnswer, NotSent
from hakika.wire.core_api import Answers, Instruction

ID = "0" * 32
INSTRUCTION = Instruction(ID, "bank-a", "254712345678", 150_050, "KES", 10**13)
ANSWER = b'{"incarnation":1,"answers":[{"id":"%s","result":"posted","seq":1,"head":""}]}' % ID.encode()
Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def client_of(behave: Behave) -> AsyncIterator[CoreClient]:
    """A client of a server that treats every connection as `behave` does, and that leaves nothing behind."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            served.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await behave(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = CoreClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "token")
    try:
        yield client
    finally:
        await client.close()
        server.close()
        if served:
            await asyncio.wait(served, timeout=2)


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


def answering(status: bytes, body: bytes, *, close: bool = False) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await _request(reader)
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
            await writer.drain()
            if close:
                return

    return behave


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def closes_after_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _request(reader)


async def answers_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER[:40]))
    await writer.drain()


async def test_a_stored_answer() -> None:
    async with client_of(answering(b"200 OK", ANSWER)) as client:
        for _ in range(2):
            answers = await client.instruct([INSTRUCTION])
            assert isinstance(answers, Answers)
            assert answers.answers[0].result == "posted"


async def test_nobody_listens_is_not_sent() -> None:
    """I-GW-9: no connection, not one byte: the only case in which an attempt may be voided."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = CoreClient(f"http://127.0.0.1:{closed.getsockname()[1]}", "token")
        with pytest.raises(NotSent):
            await client.instruct([INSTRUCTION])
        await client.close()


async def test_a_full_backlog_is_not_sent_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is never made: not sent, and the deadline holds."""
    monkeypatch.setattr(outbound, "INSTRUCT_S", 0.4)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(busy.getsockname())
        client = CoreClient(f"http://127.0.0.1:{busy.getsockname()[1]}", "token")
        begun = time.monotonic()
        with pytest.raises(NotSent):
            await client.instruct([INSTRUCTION])
        assert time.monotonic() - begun < 0.9
        await client.close()
        for filler in fillers:
            filler.close()


SILENCES: dict[str, Behave] = {
    "closes at once": closes_at_once,
    "closes after reading": closes_after_reading,
    "answers half": answers_half,
    "never answers": silent,
    "503": answering(b"503 Service Unavailable", b"{}"),
    "500": answering(b"500 Internal Server Error", ANSWER),
    "404 of a proxy": answering(b"404 Not Found", b"<html>"),
    "401": answering(b"401 Unauthorized", ANSWER),
    "204": answering(b"204 No Content", b""),
    "302": answering(b"302 Found", ANSWER),
    "a page instead": answering(b"200 OK", b"<html>sign in</html>"),
    "unknown result": answering(b"200 OK", ANSWER.replace(b"posted", b"maybe")),
    "too few answers": answering(b"200 OK", b'{"incarnation":1,"answers":[]}'),
    "too many answers": answering(b"200 OK", ANSWER.replace(b"[{", b'[{"id":"x","result":"burnt"},{')),
}


@pytest.mark.parametrize("name", SILENCES)
async def test_everything_else_is_no_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 1: busy, 4xx, 5xx, garbage and silence are evidence of nothing; bytes may have arrived."""
    monkeypatch.setattr(outbound, "INSTRUCT_S", 0.4)
    async with client_of(SILENCES[name]) as client:
        begun = time.monotonic()
        (told,) = await asyncio.gather(client.instruct([INSTRUCTION]), return_exceptions=True)
        assert type(told) is NoAnswer
        assert time.monotonic() - begun < 0.9


async def test_a_connection_that_went_away_is_no_answer() -> None:
    """A kept connection dies while it idles: the request may have been written into it."""
    async with client_of(answering(b"200 OK", ANSWER, close=True)) as client:
        await client.instruct([INSTRUCTION])
        await asyncio.sleep(0.05)
        try:
            await client.instruct([INSTRUCTION])  # noticed in time: a new connection
        except NoAnswer:
            pass
        except NotSent as error:
            raise AssertionError("a kept connection was used: nobody knows what it took") from error


async def test_requests_beyond_the_pool_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that got a connection have written; one that waited for it in vain has not."""
    monkeypatch.setattr(outbound, "ASK_S", 0.8)
    async with client_of(silent) as client:
        monkeypatch.setattr(outbound, "INSTRUCT_S", 0.2)
        holding = [asyncio.create_task(client.burn([ID])) for _ in range(outbound.CONNECTIONS)]
        await asyncio.sleep(0.2)
        with pytest.raises(NotSent):
            await client.instruct([INSTRUCTION])
        held = await asyncio.gather(*holding, return_exceptions=True)
    assert {type(each) for each in held} == {NoAnswer}
