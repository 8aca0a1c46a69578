"""The HTTP/1.1 server as a caller sees it on the wire: requests in any pieces, what is refused, what is never executed.

Times and room are in `test_http1_limits.py`, leaving and failing in `test_http1_ends.py`, chance in
`test_http1_streams.py`.
"""

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from http1_client import Gate, answering, answers_in, ask, ask_chunked, head_of, on_both_loops, serving, until

from hakika import clock
from hakika.http1.arrived import Arrived
from hakika.http1.connection import AHEAD_MAX, HEAD_MAX, HEADERS_MAX

CLOSE = "Connection: close"
NEVER = ask("/never")
POSTED = ask("/a/b?x=1&y", "X-Thing: 1", CLOSE, method="POST", body=b"hello")


@on_both_loops
@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([POSTED], id="whole"),
        pytest.param([POSTED[i : i + 1] for i in range(len(POSTED))], id="byte by byte"),
        pytest.param([POSTED[:-5], POSTED[-5:]], id="head and body apart"),
        pytest.param([b"\r\n\r\n" + POSTED], id="after empty lines"),
    ],
)
async def test_a_request_arrives_in_whatever_pieces(parts: list[bytes]) -> None:
    async with serving() as served:
        (answer,) = await served.exchange(*parts)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.told == {
            "method": "POST",
            "path": "/a/b",
            "query": "x=1&y",
            "headers": {"host": "a", "x-thing": "1", "connection": "close", "content-length": "5"},
            "size": 5,
            "client": "127.0.0.1",
        }
        assert served.app.saw == [("POST", "/a/b", b"hello")]


@on_both_loops
async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with serving() as served:
        client = await served.client()
        for number in range(3):
            client.send(ask(f"/{number}", method="POST", body=b"x" * number))
            answer = await client.answer()
            assert (answer.told["path"], answer.told["size"]) == (f"/{number}", number)
            assert "connection" not in answer.headers
        assert served.server.connections == 1


@on_both_loops
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("line", ["Connection: close", "Connection: Keep-Alive, Close"])
async def test_a_connection_that_is_not_kept_is_closed_after_its_answer(version: str, line: str) -> None:
    async with serving() as served:
        client = await served.client()
        client.send(ask("/a", line if version == "1.1" else line.removesuffix(", Close"), version=version))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.rest() == b""  # the server sends no more, and waits a little for its caller to close
        await client.close()
        await until(lambda: not served.server.connections)


@on_both_loops
async def test_an_answer_may_close_the_connection() -> None:
    async with serving() as served:
        served.app.handlers["/last"] = answering(503, b"no", (("connection", "close"), ("retry-after", "1")))
        first, last = await served.exchange(ask("/a") + ask("/last") + NEVER)
        assert "connection" not in first.headers
        assert (last.status, last.headers["connection"], last.headers["retry-after"]) == (503, "close", "1")
        assert "/never" not in served.app.began


@on_both_loops
async def test_head_is_answered_with_the_size_and_no_body() -> None:
    async with serving() as served:
        served.app.handlers["/"] = answering(200, b"12345")
        client = await served.client()
        client.send(ask(method="HEAD") + ask("/", CLOSE))
        first, _, second = (await client.rest()).partition(b"\r\n\r\n")
        status, headers = head_of(first)
        assert (status, headers["content-length"]) == (200, "5")
        assert [answer.body for answer in answers_in(second)] == [b"12345"]


@on_both_loops
@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_neither_body_nor_size(status: int) -> None:
    async with serving() as served:
        served.app.handlers["/none"] = answering(status, b"not sent")
        first, second = await served.exchange(ask("/none") + ask("/a", CLOSE))
        assert first.status == status
        assert set(first.headers) == {"date"}
        assert second.told["path"] == "/a"


@on_both_loops
async def test_every_answer_has_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served:
        client = await served.client()
        client.send(ask())
        dated = parsedate_to_datetime((await client.answer()).headers["date"])
        assert abs((datetime.now(UTC) - dated).total_seconds()) < 5
        monkeypatch.setattr(clock, "now_ms", lambda: 1_000_000_000_000)
        client.send(ask("/", CLOSE) + b"garbage")
        assert (await client.answer()).headers["date"] == "Sun, 09 Sep 2001 01:46:40 GMT"
        (refused,) = await served.exchange(b"garbage\r\n\r\n")
        assert refused.headers["date"] == "Sun, 09 Sep 2001 01:46:40 GMT"


# requests sent ahead


@on_both_loops
async def test_requests_sent_ahead_are_answered_in_order_and_one_at_a_time() -> None:
    async with serving() as served:
        answers = await served.exchange(b"".join([*(ask(f"/{n}") for n in range(4)), ask("/4", CLOSE)]))
        assert [answer.told["path"] for answer in answers] == ["/0", "/1", "/2", "/3", "/4"]
        assert served.app.most == 1


@on_both_loops
async def test_more_ahead_than_is_kept_is_refused_after_the_answers_to_what_is() -> None:
    async with serving() as served:
        answers = await served.exchange(b"".join(ask(f"/{n}") for n in range(2 * AHEAD_MAX)))
        assert [answer.status for answer in answers] == [200] * AHEAD_MAX + [400]
        assert served.app.began == [f"/{n}" for n in range(AHEAD_MAX)]


@on_both_loops
async def test_as_much_ahead_as_is_kept_is_answered() -> None:
    async with serving() as served:
        gate = served.app.handlers["/slow"] = Gate()
        client = await served.client()
        await client.send_apart(ask("/slow"), *(ask(f"/{n}") for n in range(AHEAD_MAX)))
        gate.opened.set()
        assert (await client.answer()).body == b"opened"
        assert [(await client.answer()).told["path"] for _ in range(AHEAD_MAX)] == [f"/{n}" for n in range(AHEAD_MAX)]
        assert served.app.most == 1


@on_both_loops
async def test_a_body_is_left_with_its_sender_until_it_is_asked_for() -> None:
    async with serving() as served:
        opened = asyncio.Event()

        async def later(arrived: Arrived) -> None:
            await opened.wait()
            body = await arrived.body(8_000_000, 8_000_000)
            arrived.respond(200, "text/plain", (), b"none" if body is None else b"%d" % len(body))

        served.app.handlers["/later"] = later
        client = await served.client()
        client.send(ask("/later", CLOSE, method="POST", body=b"x" * 8_000_000))
        await asyncio.sleep(0.1)
        assert client.writer.transport.get_write_buffer_size() > 1_000_000  # the rest is in the kernel
        opened.set()
        assert (await client.answer()).body == b"8000000"


# bodies


@on_both_loops
async def test_a_chunked_body_is_put_together_and_its_trailer_is_nobodys_header() -> None:
    async with serving() as served:
        trailer = "X-Trailer: 1\r\nHost: b\r\nX-Empty:\r\n"
        sent = ask_chunked("/c", b"hello", b" ", b"w" * 300, trailer=trailer)
        first, second = await served.exchange(sent + ask("/next", CLOSE))
        assert first.told["headers"] == {"host": "a", "transfer-encoding": "chunked"}
        assert first.told["size"] == 306
        assert second.told["headers"] == {"host": "a", "connection": "close"}
        assert served.app.saw == [("POST", "/c", b"hello " + b"w" * 300), ("GET", "/next", b"")]


@on_both_loops
@pytest.mark.parametrize(
    ("size", "sent", "got"),
    [(0, 0, b"0"), (100, 100, b"100"), (101, 101, b"none"), (2000, 2000, b"none"), (1_000_000, 1500, b"none")],
)
async def test_a_body_is_kept_to_its_limit(size: int, sent: int, got: bytes) -> None:
    """And what passes the second limit is not waited for."""
    async with serving() as served:

        async def limited(arrived: Arrived) -> None:
            body = await arrived.body(100, 1000)
            arrived.respond(200, "text/plain", (), b"none" if body is None else b"%d" % len(body))

        served.app.handlers["/limited"] = limited
        head = ask("/limited", f"Content-Length: {size}", CLOSE, method="POST")
        for parts in ([head + b"x" * sent], [head, *[b"x" * min(sent, 99)] * (sent // 99), b"x" * (sent % 99)]):
            (answer,) = await served.exchange(*parts)
            assert answer.body == got


@on_both_loops
async def test_who_expects_100_continue_is_told_to_when_the_body_is_asked_for() -> None:
    async with serving() as served:
        client = await served.client()
        head, body = ask("/e", "Expect: 100-Continue", "Content-Length: 5", method="POST"), b"hello"
        client.send(head)
        assert (await client.answer()).status == 100
        client.send(body)
        assert (await client.answer()).told["size"] == 5
        for begun in (head + body, head + b"h", head.replace(b"1.1", b"1.0")):  # who has begun, or does not know of it
            client.send(begun)
            await asyncio.sleep(0.02)
            client.send((head + body)[len(begun) :])
            assert (await client.answer()).status == 200


@on_both_loops
@pytest.mark.parametrize("sent_anyway", [0, 5, 4_000_000])
async def test_who_expects_100_continue_and_is_refused_is_not_told_to(sent_anyway: int) -> None:
    async with serving() as served:
        served.app.handlers["/no"] = answering(413, b"too large")
        client = await served.client()
        client.send(ask("/no", "Expect: 100-continue", "Content-Length: 4000000", method="POST"))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        client.send(b"x" * sent_anyway)
        assert await client.rest() == b""


@on_both_loops
@pytest.mark.parametrize("chunked", [False, True])
async def test_an_early_answer_reaches_a_caller_who_is_still_writing(chunked: bool) -> None:
    """It would be lost to a reset if the rest were not let pass."""
    async with serving() as served:
        served.app.handlers["/no"] = answering(413, b"too large")
        client = await served.client()
        part = b"10000\r\n" + b"x" * 65536 + b"\r\n" if chunked else b"x" * 65536
        line = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000000"
        client.send(ask("/no", line, method="POST"))
        for _ in range(100):
            client.send(part)
            await client.writer.drain()
        client.send(NEVER)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.headers["connection"]) == (413, b"too large", "close")
        assert await client.rest() == b""
        assert served.server.connections == 1  # it listens on, for a while
        await client.close()
        await until(lambda: not served.server.connections)
        assert served.app.began == ["/no"]


@on_both_loops
@pytest.mark.parametrize("broken", [b"zz\r\n", b"5\nhello", b"5\r\nhello0\r\n", b"-1\r\n", b"5 \r\nhello", b"f" * 17])
async def test_a_body_that_breaks_off_into_garbage_is_refused_and_its_handler_told(broken: bytes) -> None:
    async with serving() as served:
        client = await served.client()
        client.send(ask("/broken", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
        await until(lambda: served.app.inside == 1)
        await asyncio.sleep(0.01)
        client.send(broken + b"\r\n0\r\n\r\n" + NEVER)
        assert [answer.status for answer in answers_in(await client.rest())] == [400]
        assert (served.app.began, served.app.gone, served.app.saw) == (["/broken"], ["/broken"], [])


# what cannot be read


def _posted(*lines: str, body: str = "hello") -> bytes:
    return ask("/bad", *lines, method="POST") + body.encode()


MALFORMED = {
    "nothing like HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "length and chunks": _posted("Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
    "chunks and length": _posted("Transfer-Encoding: chunked", "Content-Length: 5", body="0\r\n\r\n"),
    "two lengths": _posted("Content-Length: 5", "Content-Length: 6"),
    "one length twice": _posted("Content-Length: 5", "Content-Length: 5"),
    "lengths in one line": _posted("Content-Length: 5, 5"),
    "negative length": _posted("Content-Length: -5"),
    "length with a sign": _posted("Content-Length: +5"),
    "length in words": _posted("Content-Length: five"),
    "length in hex": _posted("Content-Length: 0x5"),
    "empty length": _posted("Content-Length:"),
    "length past 64 bits": _posted("Content-Length: 18446744073709551621"),
    "another coding": _posted("Transfer-Encoding: gzip"),
    "another coding within": _posted("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"),
    "another coding after": _posted("Transfer-Encoding: chunked, gzip", body="0\r\n\r\n"),
    "chunked twice": _posted("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
    "nearly chunked": _posted("Transfer-Encoding: xchunked", body="0\r\n\r\n"),
    "chunked after a tab of another kind": _posted("Transfer-Encoding: \x0bchunked", body="0\r\n\r\n"),
    "space before the colon": _posted("Transfer-Encoding : chunked", body="0\r\n\r\n"),
    "bare LF after the first line": b"GET /bad HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF after a header": b"GET /bad HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare LF at the end": b"GET /bad HTTP/1.1\r\nHost: a\r\n\n",
    "bare CR in a value": ask("/bad", "X: a\rTransfer-Encoding: chunked"),
    "a folded header": ask("/bad", "X: a", " b"),
    "a folded first header": b"GET /bad HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
    "no header name": ask("/bad", ": x"),
    "no colon": ask("/bad", "x"),
    "odd header name": ask("/bad", "X(y): z"),
    "header name that is not ASCII": ask("/bad", "X\xe9: z"),
    "NUL in a value": ask("/bad", "X: a\0b"),
    "control character in a value": ask("/bad", "X: a\x7fb"),
    "no Host": b"GET /bad HTTP/1.1\r\nX: y\r\n\r\n",
    "two Hosts": ask("/bad", "Host: b"),
    "HTTP/2.0": ask("/bad", version="2.0"),
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": ask("/bad", version="1.2"),
    "HTTP/0.9": ask("/bad", version="0.9"),
    "method in small letters": ask("/bad", method="get"),
    "space after the version": b"GET /bad HTTP/1.1 \r\nHost: a\r\n\r\n",
    "control character in the target": ask("/\x01"),
    "tab in the target": ask("/a\tb"),
    "target that is not ASCII": ask("/\xe9"),
    "escape that is not UTF-8": ask("/%ff"),
    "escape that is half of UTF-8": ask("/%c3"),
    "escape that is a surrogate": ask("/%ed%a0%80"),
    "target without a slash": ask("bad"),
    "target without a host": ask("http:///bad"),
    "no target but the server": ask("*", method="OPTIONS"),
    "a tunnel": ask("a:1", method="CONNECT"),
    "a tunnel to a path": ask("/bad", method="CONNECT"),
}


@on_both_loops
@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_malformed_is_refused_and_nothing_after_it_is_executed(sent: bytes) -> None:
    async with serving() as served:
        for parts in ([sent + NEVER], [sent, NEVER, NEVER], [ask("/good") + sent, NEVER]):
            *good, answer = await served.exchange(*parts)
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.told["status"] == 400
            assert answer.told["rule"]
        assert served.app.began == ["/good"] == [earlier.told["path"] for earlier in good]


@on_both_loops
@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a%2fb", "/a/b", ""),
        ("/%25", "/%", ""),
        ("/%2541", "/%41", ""),
        ("/%C3%A9", "/é", ""),
        ("/%zz%", "/%zz%", ""),
        ("/a?", "/a", ""),
        ("/a?b?c=%25&d=%ff", "/a", "b?c=%25&d=%ff"),
        ("//a/b", "//a/b", ""),
        ("/a/../b", "/a/../b", ""),
        ("http://host/path?x=1", "/path", "x=1"),
        ("http://host:80/a%20b", "/a b", ""),
        ("http://host", "/", ""),
        ("http://host?x=1", "/", "x=1"),
    ],
)
async def test_a_path_is_decoded_once_and_a_query_is_not(target: str, path: str, query: str) -> None:
    async with serving() as served:
        (answer,) = await served.exchange(ask(target, CLOSE))
        assert (answer.told["path"], answer.told["query"]) == (path, query)


@on_both_loops
@pytest.mark.parametrize(
    ("lines", "headers"),
    [
        (["A:", "B: c"], {"a": "", "b": "c"}),
        (["A: ", "B: c"], {"a": "", "b": "c"}),
        (["A:", "B:", "C:d"], {"a": "", "b": "", "c": "d"}),
        (["X-Name: a:b: c"], {"x-name": "a:b: c"}),
        (["A: 1", "B: 2", "a: 3"], {"a": "1, 3", "b": "2"}),
        (["A: caf\xc3\xa9", "B: c"], {"b": "c"}),
        (["A: b c\t", "D: \te  "], {"a": "b c", "d": "e"}),
    ],
)
async def test_headers_arrive_by_name(lines: list[str], headers: dict[str, str]) -> None:
    async with serving() as served:
        sent = ask("/", *lines, CLOSE)
        for parts in ([sent], [sent[i : i + 1] for i in range(len(sent))]):
            (answer,) = await served.exchange(*parts)
            assert answer.told["headers"] == {"host": "a", "connection": "close"} | headers


# heads that are too large


def _large(size: int) -> bytes:
    """A head of so many bytes in several lines."""
    lines = [f"X-{n}: {'x' * 3000}" for n in range(size // 3010)]
    short = ask("/large", CLOSE, *lines, "Y: ")
    return ask("/large", CLOSE, *lines, "Y: " + "y" * (size - len(short)))


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@on_both_loops
@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([_large(HEAD_MAX + 200)], id="in one piece"),
        pytest.param([_large(200_000)], id="large in one piece"),
        pytest.param(_cut(_large(HEAD_MAX + 200), 1000), id="in many pieces"),
        pytest.param(_cut(_large(5 * HEAD_MAX)[:-2], 1000), id="never ended"),
        pytest.param([ask("/large")[:-2], b"X: ", *[b"x" * 1000] * 50], id="in a header that never ends"),
        pytest.param([b"GET /", *[b"x" * 1000] * 50], id="in a target that never ends"),
        pytest.param([ask("/" + "x" * 40_000, CLOSE)], id="in a target"),
        pytest.param([ask("/large", *["X: y"] * HEADERS_MAX)], id="too many headers"),
        pytest.param([ask_chunked("/large", b"abc", trailer="X: y\r\n" * HEADERS_MAX)], id="too long a trailer"),
    ],
)
async def test_a_head_that_is_too_large_is_refused(parts: list[bytes]) -> None:
    async with serving() as served:
        for after in (b"", NEVER):
            (answer,) = await served.exchange(*parts, after)
            assert (answer.status, answer.headers["connection"]) == (431, "close")
        assert not served.app.began


@on_both_loops
async def test_a_head_just_small_enough_is_read() -> None:
    async with serving() as served:
        head = _large(HEAD_MAX - 200)
        for parts in ([head], _cut(head, 1000), [ask("/many", CLOSE, *["X: y"] * (HEADERS_MAX - 2))]):
            (answer,) = await served.exchange(*parts)
            assert answer.status == 200


@on_both_loops
async def test_a_head_is_not_measured_with_the_body_before_it() -> None:
    async with serving() as served:
        head = ask("/second", CLOSE)
        first, second = await served.exchange(ask("/first", method="POST", body=b"x" * 60_000) + head[:20], head[20:])
        assert first.told["size"] == 60_000
        assert (second.status, second.told["path"]) == (200, "/second")


TRAILER = ask_chunked("/t", b"abc", trailer="X: y")[:-2]


@on_both_loops
@pytest.mark.parametrize(
    ("begun", "part"),
    [
        pytest.param(TRAILER, b"x" * 10_000, id="a trailer of one line"),
        pytest.param(TRAILER, b"x" * 1000 + b"\r\nT: ", id="a trailer of many lines"),
        pytest.param(TRAILER.replace(b"3\r\nabc", b"186a0\r\n" + b"x" * 100_000), b"x" * 10_000, id="after a body"),
        pytest.param(TRAILER[:-7] + b"1;", b"x" * 10_000, id="a chunk's extension"),
    ],
)
async def test_what_is_no_body_is_bounded_after_the_head_too(begun: bytes, part: bytes) -> None:
    """The parser keeps a line of any length, and more and more slowly."""
    async with serving() as served:
        client = await served.client()
        client.send(begun)
        for _ in range(30 * HEAD_MAX // len(part)):
            client.send(part)
            await client.writer.drain()
            await asyncio.sleep(0)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (431, "close")
        assert (served.app.gone, served.app.saw) == (["/t"], [])


# another protocol


@on_both_loops
async def test_an_upgrade_is_answered_in_http_1_1_and_is_the_last() -> None:
    async with serving() as served:
        lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
        for after in (b"", NEVER, b"\0\0\0\4"):
            (answer,) = await served.exchange(ask("/up", *lines) + after)
            assert (answer.status, answer.told["path"], answer.headers["connection"]) == (200, "/up", "close")
        assert served.app.began == ["/up"] * 3


@on_both_loops
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_comes_with_an_upgrade_is_read(chunked: bool) -> None:
    async with serving() as served:
        sent = ask_chunked("/up", b"hello") if chunked else ask("/up", method="POST", body=b"hello")
        sent = sent.replace(b"Host: a", b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c")
        for parts in ([sent + NEVER], [sent[:-5], sent[-5:]], [sent[i : i + 1] for i in range(len(sent))]):
            (answer,) = await served.exchange(*parts)
            assert (answer.status, answer.told["size"], answer.headers["connection"]) == (200, 5, "close")
            assert set(answer.told["headers"]) >= {"host", "connection", "upgrade"}
        assert served.app.saw == [("POST", "/up", b"hello")] * 3
