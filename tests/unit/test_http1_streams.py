"""The HTTP/1.1 server over streams of chance: however one is cut the same is executed, and no damage confuses it.

One connection without sockets; what is fed to it is what an event loop would feed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from http1_client import Answer, Echo, answers_in, ask, ask_chunked
from hypothesis import given, settings
from hypothesis import strategies as st

from hakika.http1.connection import Connection
from hakika.http1.server import Server

TURNS = 60  # of the event loop, enough for all handlers here to end


class Wire(asyncio.Transport):
    """The transport of a connection: keeps what is written, and whether the connection wants to hear more."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.paused = self.ended = self.closed = False
        self.connection: Connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended
        if not self.closed:
            self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


@dataclass(frozen=True)
class Outcome:
    """What became of a stream."""

    app: Echo
    answers: list[Answer]
    over: bool  # the connection has said that it takes no more

    @property
    def statuses(self) -> list[int]:
        """Of final answers; whether 100 is sent depends on whether the body is there already."""
        return [answer.status for answer in self.answers if answer.status != 100]


def feed(parts: list[bytes], *, at_once: bool) -> Outcome:
    """Feed a new connection; then its caller leaves, and every handler ends and the connection closes."""

    async def turns(until: Callable[[], bool]) -> None:
        for _ in range(TURNS):
            if until():
                return
            await asyncio.sleep(0)

    async def scenario() -> Outcome:
        app, wire = Echo(), Wire()
        server = Server(app, 10)
        wire.connection = connection = Connection(server)
        connection.connection_made(wire)
        for part in parts:
            await turns(lambda: not wire.paused or wire.closed)
            assert not wire.paused or wire.closed, "reads no further and does nothing"
            if wire.closed:
                break
            connection.data_received(part)
            if not at_once:
                await asyncio.sleep(0)
        await turns(lambda: False)
        over = wire.closed or wire.ended
        assert over or not wire.paused, "neither answers, waits nor closes"
        answers = answers_in(bytes(wire.written))
        if not wire.closed and not connection.eof_received():
            wire.close()
        await turns(lambda: wire.closed and not app.inside)
        assert not app.inside, "a handler waits for a caller who has left"
        assert wire.closed
        await server.stop(0)
        assert not server.connections
        return Outcome(app, answers, over)

    return asyncio.run(scenario())


Wanted = tuple[str, str, bytes]

NAMES = st.text("abcdefgh-", min_size=1, max_size=8)
VALUES = st.text("".join(map(chr, range(33, 127))), max_size=10)
PLAIN = st.lists(st.builds("X-{}: {}".format, NAMES, VALUES), max_size=4)
TELLING = [
    "Connection: close", "Connection: Upgrade", "Upgrade: h2c", "Expect: 100-continue", "Transfer-Encoding: chunked",
    "Content-Length: 3", "Host: b", "X:",
]  # fmt: skip
LINES = st.lists(st.sampled_from(TELLING), max_size=2)


@st.composite
def requests(draw: st.DrawFn, lines: st.SearchStrategy[list[str]] = PLAIN) -> tuple[Wanted, bytes]:
    """What is wanted, and its bytes."""
    path = draw(st.sampled_from(["/", "/a", "/a/b", "/%C3%A9", "/a%20b?x=1"]))
    shown = {"/%C3%A9": "/é", "/a%20b?x=1": "/a b"}.get(path, path)
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "chunked":
        chunks = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4))
        trailer = "".join(f"{line}\r\n" for line in draw(PLAIN))
        return ("POST", shown, b"".join(chunks)), ask_chunked(path, *chunks, trailer=trailer)
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
    body = draw(st.binary(max_size=60)) if kind == "length" else b""
    return (method, shown, body), ask(path, *draw(lines), method=method, body=body)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The same bytes in pieces."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]


PLACES = st.lists(st.integers(0, 2000), max_size=40)
STREAMS = st.lists(requests(), min_size=1, max_size=7)


@settings(max_examples=300, deadline=None)
@given(STREAMS, PLACES, st.booleans())
def test_however_a_stream_is_cut_the_same_is_executed(
    stream: list[tuple[Wanted, bytes]], places: list[int], at_once: bool
) -> None:
    wanted, sent = [one for one, _ in stream], b"".join(data for _, data in stream)
    outcome = feed(cut(sent, places), at_once=at_once)
    assert outcome.app.saw == wanted
    assert outcome.app.most == 1
    told = [
        (answer.status, answer.told["method"], answer.told["path"], answer.told["size"]) for answer in outcome.answers
    ]
    assert told == [(200, method, path, len(body)) for method, path, body in wanted]
    whole = feed([sent], at_once=at_once)
    assert [answer.body for answer in outcome.answers] == [answer.body for answer in whole.answers]


@settings(max_examples=100, deadline=None)
@given(STREAMS)
def test_a_stream_byte_by_byte_is_the_same(stream: list[tuple[Wanted, bytes]]) -> None:
    sent = b"".join(data for _, data in stream)
    outcome = feed([sent[i : i + 1] for i in range(len(sent))], at_once=False)
    assert outcome.app.saw == [one for one, _ in stream]


ODD = st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b":", b" ", b"\xff", b"0", b"9", b"G", b"\r\n\r\n", b"%", b";"])
DAMAGE = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 3), st.one_of(ODD, st.binary(max_size=3))), max_size=4)


def damaged(data: bytes, damage: list[tuple[int, int, bytes]]) -> bytes:
    """Some bytes replaced, put in, taken out or sent twice."""
    for place, kind, odd in damage:
        at = place % (len(data) + 1)
        data = {
            0: data[:at] + odd + data[at + len(odd) :],
            1: data[:at] + odd + data[at:],
            2: data[:at] + data[at + 1 + len(odd) :],
            3: data[:at] + data[max(0, at - 20) :],
        }[kind]
    return data


@settings(max_examples=400, deadline=None)
@given(st.lists(requests(LINES), min_size=1, max_size=7), DAMAGE, PLACES, st.booleans())
def test_damage_is_answered_waited_for_or_closed(
    stream: list[tuple[Wanted, bytes]], damage: list[tuple[int, int, bytes]], places: list[int], at_once: bool
) -> None:
    sent = damaged(b"".join(data for _, data in stream), damage)
    outcome = feed(cut(sent, places), at_once=at_once)
    refused = [status for status in outcome.statuses if status != 200]
    assert outcome.statuses.count(200) == len(outcome.app.saw)
    assert outcome.app.most <= 1
    assert refused in ([], [400], [431])
    if refused:
        assert outcome.statuses[-1] == refused[0]
        assert outcome.over
    whole = feed([sent], at_once=at_once)
    assert whole.app.saw == outcome.app.saw
    assert whole.statuses == outcome.statuses
