"""The HTTP/1.1 server and those who cost it something: slow callers, and more of them than there is room for.

What its constants say in seconds is tenths here.
"""

import asyncio
import resource

import pytest
from http1_client import TIMER_S, Client, Gate, Served, answering, ask, now_s, on_both_loops, serving, until

from hakika.http1 import connection as connections
from hakika.http1 import server as servers
from hakika.http1.arrived import Arrived

CLOSE = "Connection: close"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
HALF_BODY = ask("/half", "Content-Length: 10", method="POST") + b"hello"
GARBAGE = b"\x16\x03\x01\x02\x00\r\n\r\n"
LIMIT_S = 0.15
LARGE = b"x" * 16_000_000


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The server looks round often; each test sets the limit that it is about."""
    monkeypatch.setattr(servers, "SWEEP_S", 0.02)
    return monkeypatch


async def drip(client: Client, part: bytes, every_s: float) -> None:
    """Write the same again and again, until there is nobody."""
    while not client.writer.transport.is_closing():
        client.send(part)
        await asyncio.sleep(every_s)


# slow callers


@on_both_loops
@pytest.mark.parametrize("dripping", [False, True])
async def test_a_slow_head_is_told_so_and_closed(short: pytest.MonkeyPatch, dripping: bool) -> None:
    short.setattr(connections, "HEAD_S", LIMIT_S)
    short.setattr(connections, "LINGER_S", LIMIT_S)
    async with serving() as served:
        client = await served.client()
        begun_s = now_s()
        client.send(HALF_HEAD)
        dripped = asyncio.create_task(drip(client, b"x", 0.01)) if dripping else None
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert LIMIT_S - TIMER_S <= now_s() - begun_s < LIMIT_S + 2
        await until(lambda: not served.server.connections)
        assert await client.cut() == b""
        assert not served.app.began
        if dripped is not None:
            dripped.cancel()


@on_both_loops
async def test_a_head_has_its_time_from_its_first_byte(short: pytest.MonkeyPatch) -> None:
    short.setattr(connections, "HEAD_S", LIMIT_S)
    async with serving() as served:
        gate = served.app.handlers["/slow"] = Gate()
        client = await served.client()
        await asyncio.sleep(LIMIT_S + 0.05)  # nothing is sent yet
        for before in (b"", ask("/slow"), ask("/slow")):
            gate.opened.clear()
            client.send(before + HALF_HEAD)
            if before:
                await asyncio.sleep(LIMIT_S + 0.05)  # another is being answered
                gate.opened.set()
                assert (await client.answer()).status == 200
            await asyncio.sleep(LIMIT_S / 3)
            client.send(b"y\r\n\r\n")
            assert (await client.answer()).told["headers"]["x"] == "y"


@on_both_loops
@pytest.mark.parametrize("before", [0, 1, 2])
async def test_an_idle_connection_is_closed(short: pytest.MonkeyPatch, before: int) -> None:
    short.setattr(connections, "IDLE_S", LIMIT_S)
    async with serving() as served:
        client = await served.client()
        for _ in range(before):
            await asyncio.sleep(LIMIT_S / 2)
            client.send(ask())
            assert (await client.answer()).status == 200
        begun_s = now_s()
        assert await client.rest() == b""
        assert LIMIT_S - TIMER_S <= now_s() - begun_s < LIMIT_S + 2
        await until(lambda: not served.server.connections)


@on_both_loops
async def test_a_handler_has_all_the_time_it_takes(short: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_S", "IDLE_S", "LINGER_S", "WRITE_S"):
        short.setattr(connections, name, 0.05)
    async with serving() as served:
        gate = served.app.handlers["/slow"] = Gate()
        client = await served.client()
        client.send(ask("/slow"))
        uploading = await served.client()
        uploading.send(HALF_BODY)
        await asyncio.sleep(0.3)
        gate.opened.set()
        assert (await client.answer()).body == b"opened"
        uploading.send(b"world")
        assert (await uploading.answer()).told["size"] == 10


@on_both_loops
@pytest.mark.parametrize("line", ["X: y", CLOSE])
async def test_an_answer_that_is_not_read_is_given_up(short: pytest.MonkeyPatch, line: str) -> None:
    short.setattr(connections, "WRITE_S", LIMIT_S)
    async with serving() as served:
        served.app.handlers["/large"] = answering(200, LARGE)
        client = await served.client(receive_bytes=65536)
        client.send(ask("/large", line))
        await until(lambda: served.app.began == ["/large"])
        begun_s = now_s()
        await until(lambda: not served.server.connections)
        assert LIMIT_S - 0.05 < now_s() - begun_s < LIMIT_S + 2
        assert len(await client.cut()) < len(LARGE)


@on_both_loops
@pytest.mark.parametrize("line", ["X: y", CLOSE])
async def test_an_answer_that_is_read_slowly_arrives_whole(short: pytest.MonkeyPatch, line: str) -> None:
    for name in ("WRITE_S", "IDLE_S", "LINGER_S"):
        short.setattr(connections, name, 0.25)
    async with serving() as served:
        served.app.handlers["/large"] = answering(200, LARGE)
        client = await served.client(receive_bytes=262_144)
        client.send(ask("/large", line))
        await client.reader.readuntil(b"\r\n\r\n")
        begun_s, got = now_s(), 0
        while got < len(LARGE):
            part = await client.reader.read(131_072)
            assert part, f"broke off after {got} bytes"
            got += len(part)
            await asyncio.sleep(0.005)
        assert now_s() - begun_s > 0.5  # longer than any limit


@on_both_loops
async def test_the_next_begins_when_the_answer_before_it_is_read() -> None:
    async with serving() as served:
        served.app.handlers["/large"] = answering(200, LARGE)
        client = await served.client(receive_bytes=1_000_000)
        client.send(ask("/large") * 3)
        await until(lambda: bool(served.app.began))
        await asyncio.sleep(0.05)
        assert served.app.began == ["/large"]
        for _ in range(3):
            assert len((await client.answer()).body) == len(LARGE)


@on_both_loops
@pytest.mark.parametrize("sent", [GARBAGE, ask("/no", "Content-Length: 1000000000", method="POST")])
async def test_what_still_comes_after_the_last_answer_is_let_pass_for_a_while(
    short: pytest.MonkeyPatch, sent: bytes
) -> None:
    short.setattr(connections, "LINGER_S", LIMIT_S)
    async with serving() as served:
        served.app.handlers["/no"] = answering(413)
        client = await served.client()
        client.send(sent)
        assert (await client.answer()).status >= 400
        begun_s = now_s()
        dripped = asyncio.create_task(drip(client, b"x" * 1000, 0.01))
        await until(lambda: not served.server.connections)
        assert LIMIT_S - 0.05 < now_s() - begun_s < LIMIT_S + 2
        dripped.cancel()


# more callers than there is room for


async def crowd(served: Served, sent: bytes, *, size: int = 200, honest_every: int = 25) -> None:
    """So many connections that send this and stay; a whole request among them is answered each time."""
    for number in range(size):
        (await served.client()).send(sent)
        if number % honest_every == honest_every - 1:
            async with asyncio.timeout(1):
                (answer,) = await served.exchange(ask("/honest", CLOSE))
            assert answer.told["path"] == "/honest"


@on_both_loops
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HALF_HEAD, id="half a head"),
        pytest.param(HALF_BODY, id="half a body"),
        pytest.param(GARBAGE, id="garbage"),
        pytest.param(ask("/idle"), id="idle"),
        pytest.param(ask("/last", CLOSE), id="closes never"),
        pytest.param(ask("/large"), id="reads nothing"),
        pytest.param(ask("/no", "Content-Length: 1000", method="POST"), id="lingers"),
    ],
)
async def test_whoever_asks_is_answered_beside_many_who_only_connect(sent: bytes) -> None:
    async with serving(connections_max=20) as served:
        served.app.handlers |= {"/large": answering(200, LARGE[:1_000_000]), "/no": answering(413)}
        await crowd(served, sent)
        await until(lambda: served.server.connections <= 20)
        assert served.server.connections > 10
        assert served.app.began.count("/honest") == 8
    assert served.app.inside == 0


@on_both_loops
async def test_a_request_being_answered_is_not_cut_off_for_others() -> None:
    async with serving(connections_max=20) as served:
        gate = served.app.handlers["/slow"] = Gate()
        held = [await served.client() for _ in range(15)]
        for client in held:
            client.send(ask("/slow", method="POST", body=b"x"))
        await until(lambda: gate.held == 15)
        for sent in (HALF_HEAD, HALF_BODY, GARBAGE):
            await crowd(served, sent, size=70)
        gate.opened.set()
        for client in held:
            assert (await client.answer()).body == b"opened"
            client.send(ask("/again", CLOSE))
            assert (await client.answer()).told["path"] == "/again"


@on_both_loops
async def test_an_upload_is_safe_once_it_is_whole() -> None:
    async with serving(connections_max=20) as served:
        gate = Gate()

        async def handler(arrived: Arrived) -> None:
            await arrived.body(100, 100)
            await gate(arrived)

        served.app.handlers["/half"] = handler
        client = await served.client()
        await client.send_apart(HALF_BODY, b"world")
        await until(lambda: gate.held == 1)
        await crowd(served, HALF_HEAD, size=50)
        gate.opened.set()
        assert (await client.answer()).body == b"opened"


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(1024, 768), (256, 64), (4000, 3744), (1_048_576, 4096), (resource.RLIM_INFINITY, 4096)],
)
def test_there_are_descriptors_left_for_what_is_our_own(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert servers._most_connections() == connections
