"""One connection: bytes to requests, answered one after the other, and answers to bytes.

Of what is sent ahead (pipelining) a little is kept and the rest left with the sender. What a stranger can hold is
bounded: a head by size and time, an answer that is not read and a connection that asks nothing by time.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import unquote

import httptools

from hakika.http1.arrived import Arrived, Gone, Headers

HEAD_S = 5.0  # machine timer: from the first byte of a head to its last
IDLE_S = 60.0  # machine timer: a connection on which nothing is asked
LINGER_S = 5.0  # machine timer: what still arrives after the last answer is let pass for so long
WRITE_S = 30.0  # machine timer: an answer of which its caller takes nothing
HEAD_MAX = 32_768  # bytes
HEADERS_MAX = 100
AHEAD_MAX = 16  # requests sent ahead on one connection
UNREAD_MAX = 65_536  # bytes of a body that nobody has asked for yet
BODILESS = frozenset({204, 304})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = logging.getLogger(__name__)

App = Callable[[Arrived], Awaitable[None]]


class Keeper(Protocol):
    """Who knows every connection."""

    app: App
    closing: bool
    waiting: "dict[Connection, None]"  # those of which nothing whole is asked, the longest first
    now_s: Callable[[], float]

    def opened(self, one: "Connection") -> None:
        """A connection came."""

    def closed(self, one: "Connection") -> None:
        """A connection has gone."""

    def head(self, status: int, content_type: str, headers: Headers, length: int) -> bytes:
        """The head of an answer. Raises ValueError for a header of several lines."""


class Connection(asyncio.Protocol):
    """One connection: bytes to requests, one after the other, and answers to bytes."""

    def __init__(self, server: Keeper) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._client = ""
        self._task: asyncio.Task[None] | None = None
        self._active: Arrived | None = None  # being answered
        self._ahead: deque[Arrived] = deque()  # sent ahead, not begun
        self._arriving: Arrived | None = None  # its head is being read, or its body
        self._in_head = False
        self._target = b""
        self._lines = self._lines_size = 0  # of head and trailer, as far as llhttp has told
        self._moved = False  # a head has begun, or a body gone on, with what has arrived last
        self._since_then = 0  # bytes
        self._skipped = False  # a body that llhttp takes for another protocol
        self._resuming = False
        self._refusal: tuple[int, str] | None = None  # of what cannot be read; nothing after it is
        self._since_s = server.now_s()  # when it began to wait for a request, a head, an end or a reader
        self._unsent = 0  # bytes of answers that wait for a reader
        self._paused = self._full = self._ended = False
        self._eof = False  # the caller sends no more
        self._deaf = False  # what arrives is let pass
        self._lingers = False  # nothing more is answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has its methods and not its class
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if isinstance(peer, tuple) else ""
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self)
        self._ended = True
        for arrived in (self._active, self._arriving, *self._ahead):
            if arrived is not None:
                arrived.leave()
        self._ahead.clear()

    def eof_received(self) -> bool:
        """The caller sends no more: what it has asked is still answered."""
        self._eof = True
        last = self._ahead[-1] if self._ahead else self._active
        if last is None or self._lingers:
            return False
        last.keep_alive = False
        last.leave()
        return True

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._feed(data)
        if self._arriving is not None:
            self._measure(len(data))
        self._advance()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._advance()

    # what llhttp calls

    def on_message_begin(self) -> None:
        if self._resuming:
            return
        if len(self._ahead) >= AHEAD_MAX:
            self._refuse(400, f"at most {AHEAD_MAX} requests ahead")
            raise Gone
        self._arriving = Arrived(self, self._client)
        self._target, self._in_head, self._moved = b"", True, True
        self._lines = self._lines_size = 0
        if self._active is None:
            self._since_s = self._server.now_s()

    def on_url(self, part: bytes) -> None:
        if not self._resuming:
            self._target += part
            self._bound(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._resuming or self._arriving is None:
            return
        self._lines += 1
        self._bound(len(name) + len(value))
        if not self._in_head or not value.isascii():  # a trailer is none of the request's headers
            return
        headers, key = self._arriving.headers, name.decode("ascii").lower()
        text = value.decode("ascii").strip(" \t")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        arrived = self._arriving
        if self._resuming or arrived is None:
            return
        self._in_head = False
        parser, version = self._parser, self._parser.get_http_version()
        arrived.method = parser.get_method().decode("ascii")
        upgrades = parser.should_upgrade()
        arrived.keep_alive = version == "1.1" and parser.should_keep_alive() and not upgrades
        wrong = _wrong(arrived, version) or self._place(arrived)
        if wrong is not None:
            self._refuse(400, wrong)
            raise Gone
        self._skipped = upgrades and (
            "transfer-encoding" in arrived.headers or arrived.headers.get("content-length", "0").strip("0") != ""
        )
        if version == "1.1" and arrived.headers.get("expect", "").lower() == "100-continue":
            arrived.expect()
        self._ahead.append(arrived)

    def on_body(self, part: bytes) -> None:
        if self._arriving is not None:
            self._moved = True
            self._arriving.more(part)

    def on_message_complete(self) -> None:
        if self._skipped:
            return
        if self._arriving is not None:
            self._arriving.end()
            if self._arriving is self._active:
                self._server.waiting.pop(self, None)
        self._arriving = None

    # what a request calls

    def wants_body(self, expected: bool) -> None:
        """The body is waited for; `expected` when its sender waits to be told so."""
        if expected:
            self._transport.write(CONTINUE)
        self._throttle()

    def answer(self, arrived: Arrived, status: int, content_type: str, headers: Headers, body: bytes) -> None:
        """Write the answer to the request under way; the next begins when its handler has ended."""
        if arrived.answered or arrived is not self._active:
            raise RuntimeError("a request is answered once")
        keep = arrived.keep_alive and arrived.whole and not self._server.closing
        if ("connection", "close") in headers:
            keep = False
        elif not keep:
            headers = (*headers, ("connection", "close"))
        data = self._server.head(status, content_type, headers, len(body))
        arrived.answered = True
        if self._ended:
            raise Gone
        self._transport.write(data + body if arrived.method != "HEAD" and status not in BODILESS else data)
        if not keep:
            self._finish()

    # what the server calls

    def look(self, now_s: float) -> None:
        """End what has taken too long."""
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._since_s = unsent, now_s
        passed_s = now_s - self._since_s
        if unsent or self._lingers:
            if passed_s > (WRITE_S if unsent else LINGER_S):
                self._transport.abort()
        elif self._active is None and self._in_head:
            if passed_s > HEAD_S:
                self._refuse(408, f"the head within {HEAD_S:g} s")
                self._advance()
        elif self._active is None and passed_s > IDLE_S:
            self._transport.close()

    def close(self) -> None:
        """No more: at once where nothing is being answered."""
        if self._active is None:
            self._transport.close()

    def abort(self) -> None:
        """No more, at once."""
        self._transport.abort()

    # inside

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # proposed, and not taken: it is answered in this protocol
            if self._skipped:
                self._resume(data[upgrade.args[0] :])
            else:
                self._deaf = True
        except httptools.HttpParserError as error:
            if self._refusal is None:
                self._refuse(400, str(error) or "HTTP/1.1")

    def _resume(self, rest: bytes) -> None:
        """Read the body of a request that proposes another protocol; llhttp would leave it to that protocol."""
        if self._arriving is None:
            return
        self._skipped, self._resuming = False, True
        length = self._arriving.headers.get("content-length")
        line = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        self._parser = httptools.HttpRequestParser(self)
        self._feed(f"POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode())
        self._resuming = False
        self._feed(rest)

    def _bound(self, size: int) -> None:
        """Head and trailer are small."""
        self._lines_size += size
        if self._lines_size > HEAD_MAX:
            self._refuse(431, f"at most {HEAD_MAX} bytes of head")
            raise Gone
        if self._lines > HEADERS_MAX:
            self._refuse(431, f"at most {HEADERS_MAX} headers")
            raise Gone

    def _measure(self, size: int) -> None:
        """So are lines that have not ended yet, of which llhttp tells nothing."""
        self._since_then = 0 if self._moved else self._since_then + size
        self._moved = False
        if self._since_then > HEAD_MAX:
            self._refuse(431, f"at most {HEAD_MAX} bytes of head")

    def _place(self, arrived: Arrived) -> str | None:
        """Read path and query from the target (3.2.1, 3.2.2); the rule that is broken, or None."""
        target = self._target
        try:
            if not target.startswith(b"/"):
                parsed = httptools.parse_url(target)
                query = b"?" + parsed.query if parsed.query else b""
                target = (parsed.path or b"/") + query if parsed.host else b""
            path, _, arrived.query = target.decode("ascii").partition("?")
            arrived.path = unquote(path, errors="strict") if "%" in path else path
        except (httptools.HttpParserError, UnicodeDecodeError):
            return "a path in UTF-8"
        return None if arrived.path.startswith("/") else "a target that begins with /"

    def _refuse(self, status: int, rule: str) -> None:
        """What is being read cannot be, and nothing after it; it is said when its turn comes."""
        self._refusal = (status, rule)
        self._deaf, self._in_head = True, False
        broken, self._arriving = self._arriving, None
        if broken is not None:
            broken.leave()
            if self._ahead and self._ahead[-1] is broken:
                self._ahead.pop()
            elif broken is self._active:
                self._active = None  # the refusal is its answer

    def _advance(self) -> None:
        """Begin the next request when there is one and nothing else is under way."""
        if self._active is None and not self._full and not self._lingers and not self._ended:
            if self._ahead:
                self._active = arrived = self._ahead.popleft()
                if arrived.whole:
                    self._server.waiting.pop(self, None)
                self._task = asyncio.get_running_loop().create_task(self._run(arrived))
            elif self._refusal is not None:
                self._tell_refusal(*self._refusal)
        self._throttle()

    async def _run(self, arrived: Arrived) -> None:
        try:
            await self._server.app(arrived)
        except Exception:
            log.exception("a request was not answered: %s %s", arrived.method, arrived.path)
        finally:
            if arrived is self._active and not self._ended:
                self._active, self._since_s = None, self._server.now_s()
                if not arrived.answered or (self._eof and not self._ahead):
                    self._transport.close()
                elif not self._lingers:
                    self._server.waiting[self] = None
                    self._advance()

    def _tell_refusal(self, status: int, rule: str) -> None:
        title = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": title, "status": status, "rule": rule}).encode()
        close = (("connection", "close"),)
        self._transport.write(self._server.head(status, "application/problem+json", close, len(body)) + body)
        self._finish()

    def _finish(self) -> None:
        """Say that nothing more comes, and let pass what does until the caller closes, or it would reset the answer."""
        self._server.waiting[self] = None
        self._lingers, self._since_s = True, self._server.now_s()
        self._deaf = True
        self._ahead.clear()
        if self._eof:
            self._transport.close()
            return
        self._transport.write_eof()
        self._throttle()

    def _throttle(self) -> None:
        """Read no further while there is enough to do."""
        arriving = self._arriving
        enough = bool(self._ahead) or (arriving is not None and arriving.unread > UNREAD_MAX)
        if enough and not self._lingers:
            if not self._paused and not self._ended:
                self._paused = True
                self._transport.pause_reading()
        elif self._paused:
            self._paused = False
            if not self._ended and not self._transport.is_closing():
                self._transport.resume_reading()


def _wrong(arrived: Arrived, version: str) -> str | None:
    """The rule that a head breaks although llhttp reads it, or None."""
    if version not in ("1.1", "1.0"):
        return "HTTP/1.1"
    host, coding = arrived.headers.get("host"), arrived.headers.get("transfer-encoding")
    if (host is None and version == "1.1") or (host is not None and "," in host):
        return "one Host header"  # 3.2
    if coding is not None and coding.lower() != "chunked":
        return "no transfer coding but chunked"  # 6.1
    return "no tunnels" if arrived.method == "CONNECT" else None
