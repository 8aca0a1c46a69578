"""The lean client: which connections are kept, what a whole answer is, and what bounds it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from hakika.outbound import lean
from hakika.outbound.lean import Answer, LeanClient, NothingWritten, Unanswered

DEADLINE_S = 1.0
Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request by `say`; remembers heads and counts connections."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.heads: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.served: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self.served.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.heads.append(head + await reader.readexactly(length))
                await self.say(writer)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def talking(say: Say, path: str = "", connections: int = 4) -> AsyncIterator[tuple[Server, LeanClient]]:
    server = Server(say)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    client = LeanClient(f"http://127.0.0.1:{server.port}{path}", connections=connections, headers=(("X-A", "1"),))
    try:
        yield server, client
    finally:
        await client.close()
        listening.close()
        if server.served:
            await asyncio.wait(server.served, timeout=2)


def plain(body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), more, body))

    return say


def raw(*parts: bytes, close: bool = False) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        if close:
            writer.close()

    return say


async def ask(client: LeanClient, body: bytes = b"hello") -> Answer:
    return await client.exchange("POST", "/a?b=c", body, deadline_s=DEADLINE_S, headers=(("X-B", "2"),))


async def test_a_request_says_what_it_should_and_its_connection_is_kept() -> None:
    async with talking(plain(b"yes"), path="/base") as (server, client):
        assert await ask(client) == (200, b"yes")
        assert await ask(client, b"") == (200, b"yes")
        first, second = server.heads
        assert first.startswith(b"POST /base/a?b=c HTTP/1.1\r\n")
        assert first.endswith(b"\r\n\r\nhello")
        for header in (b"Host: 127.0.0.1:%d" % server.port, b"X-A: 1", b"X-B: 2", b"Content-Length: 5"):
            assert header.lower() in first.lower()
        assert b"content-length: 0" in second.lower()
        assert server.connections == 1


WHOLE: dict[str, tuple[Say, Answer, int]] = {
    "in chunks": (
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n", b"yes\r\n", b"0\r\n\r\n"),
        Answer(200, b"yes"), 1),
    "in many pieces": (
        raw(b"HTTP/1.1 20", b"2 Accepted\r\nContent-Le", b"ngth: 3\r\n\r\ny", b"es"), Answer(202, b"yes"), 1),
    "after an informational one": (
        raw(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"),
        Answer(200, b"yes"), 1),
    "no content": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), Answer(204, b""), 1),
    "that closes": (plain(b"yes", more=b"Connection: close\r\n"), Answer(200, b"yes"), 2),
    "until it closes": (raw(b"HTTP/1.1 200 OK\r\n\r\nyes", close=True), Answer(200, b"yes"), 2),
    "a redirect": (plain(b"", b"302 Found", b"Location: http://127.0.0.1:1/\r\n"), Answer(302, b""), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_answer_in_any_form(name: str) -> None:
    say, answer, connections = WHOLE[name]
    async with talking(say) as (server, client):
        assert await ask(client) == answer
        assert await ask(client) == answer
        assert server.connections == connections


BROKEN: dict[str, Say] = {
    "closed at once": raw(close=True),
    "closed in the head": raw(b"HTTP/1.1 200 OK\r\nContent-", close=True),
    "closed in the body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nyes", close=True),
    "closed in a chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nyes", close=True),
    "not HTTP": raw(b"220 mail.example ESMTP\r\n"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nyes!"),
    "too large": plain(b"x" * 2_000),
    "silent": raw(),
    "half and silent": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nyes"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_anything_else_is_unanswered_and_its_connection_is_not_kept(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "BODY_MAX", 1_000)
    async with talking(BROKEN[name]) as (server, client):
        for number in (1, 2):
            with pytest.raises(Unanswered):
                await client.exchange("POST", "/", b"hello", deadline_s=0.3)
            assert server.connections == number


async def test_a_connection_that_idled_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with talking(plain(b"yes")) as (server, client):
        await ask(client)
        monkeypatch.setattr(lean, "KEPT_S", -1.0)
        await ask(client)
        assert server.connections == 2


async def test_no_more_connections_than_allowed_and_who_waits_has_written_nothing() -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with talking(slowly, connections=2) as (server, client):
        answers = await asyncio.gather(*(ask(client) for _ in range(6)))
        assert {one.status for one in answers} == {204}
        assert server.connections == 2
        busy = [asyncio.create_task(ask(client)) for _ in range(2)]
        await asyncio.sleep(0.02)
        with pytest.raises(NothingWritten):
            await client.exchange("POST", "/", b"", deadline_s=0.05)
        await asyncio.gather(*busy)


async def test_a_caller_who_gives_up_leaves_no_connection_behind() -> None:
    async with talking(raw()) as (server, client):
        asking = asyncio.create_task(ask(client))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.say = plain(b"yes")
        assert await ask(client) == (200, b"yes")
        assert server.connections == 2


def test_only_addresses_of_servers_are_taken() -> None:
    for url in ("ftp://a/", "a:1", "http://"):
        with pytest.raises(ValueError, match="address"):
            LeanClient(url, connections=1)
