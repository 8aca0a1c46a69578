"""The bank's own HTTP front over granian's RSGI: a table of routes, bounded bodies, errors that name field and rule.

A bank is another institution with programs of its own, so this is not the platform's door; it is the least that
a demo bank needs. A handler may answer `Silence`: the caller is left waiting until it gives up.
"""

import asyncio
import json
import logging
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from granian._granian import RSGIProtocolClosed, RSGIProtocolError
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from hakika import clock

BODY_MAX = 2_000_000
BODY_READ_S = 10.0
SILENCE_S_MAX = 60.0
IN_FLIGHT_MAX = 512
BACKLOG = 1024
CONNECTIONS_MAX = 2048
LISTEN_WITHIN_S = 5.0
DRAIN_S = 5.0
FORM_FIELDS_MAX = 20
THREADS_END_S = 1.0
THREADS = Path("/proc/self/task")

log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived: header names in lower case, `params` from the path."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    params: dict[str, str]

    def form(self) -> dict[str, str]:
        """The fields of a submitted form; ValueError when it cannot be read."""
        pairs = parse_qsl(
            self.body.decode("utf-8"), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict"
        )
        return dict(pairs)


@dataclass(frozen=True, slots=True)
class Response:
    """What leaves."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all, until the caller hangs up."""


Handler = Callable[[Request], Awaitable[Response | Silence]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and a path pattern such as `/transfers/{uetr}`."""

    method: str
    pattern: str
    handler: Handler


def problem(
    status: int,
    title: str,
    field: str | None = None,
    rule: str | None = None,
    *,
    headers: Headers = (),
    **extra: str,
) -> Response:
    """problem+json (RFC 9457) naming field and rule."""
    content: dict[str, str | int] = {"type": "about:blank", "title": title, "status": status}
    content.update({name: value for name, value in (("field", field), ("rule", rule)) if value is not None})
    return Response(status, json.dumps({**content, **extra}).encode(), "application/problem+json", headers)


class Door:
    """The RSGI application."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._idle = asyncio.Event()
        self._idle.set()
        self._routes = [
            (route.method, re.compile(re.sub(r"\{([a-z_]+)\}", r"(?P<\1>[^/]+)", route.pattern)), route.handler)
            for route in routes
        ]
        self.in_flight = 0

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Granian's entry point, once a request."""
        self.in_flight += 1
        self._idle.clear()
        silent = False
        try:
            response = await self._answer(scope, proto)
            if isinstance(response, Silence):
                silent = True
                return
            headers = [("content-type", response.content_type), *response.headers]
            if response.status == 204:
                proto.response_empty(204, [])
            else:
                proto.response_bytes(response.status, headers, response.body)
        except (RSGIProtocolClosed, RSGIProtocolError):
            log.info("the caller left before the answer to %s %s", scope.method, scope.path)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()
            if silent:
                await _hung_up(proto)

    async def idle(self) -> None:
        """Return when no request is in flight."""
        await self._idle.wait()

    async def _answer(self, scope: Any, proto: Any) -> Response | Silence:
        method = "GET" if scope.method == "HEAD" else scope.method
        allowed: list[str] = []
        for route_method, pattern, handler in self._routes:
            match = pattern.fullmatch(scope.path)
            if match is None:
                continue
            if route_method != method:
                allowed.append(route_method)
                continue
            if self.in_flight > IN_FLIGHT_MAX:
                return problem(503, "Too many requests in flight", headers=(("retry-after", "1"),))
            try:
                body = await _body(proto, scope)
                if isinstance(body, Response):
                    return body
                return await handler(Request(method, scope.path, dict(scope.headers.items()), body, match.groupdict()))
            except (RSGIProtocolClosed, RSGIProtocolError):
                raise
            except Exception:
                request_id = clock.new_id().hex
                log.exception("request %s failed: %s %s", request_id, scope.method, scope.path)
                return problem(500, "Internal error", request_id=request_id)
        if allowed:
            return problem(405, "Method not served under this path", headers=(("allow", ", ".join(allowed)),))
        return problem(404, "Nothing is served under this path")


async def _hung_up(proto: Any) -> None:
    """Return when the caller has given up."""
    with suppress(TimeoutError, RSGIProtocolClosed, RSGIProtocolError):
        async with asyncio.timeout(SILENCE_S_MAX):
            await proto.client_disconnect()


async def _body(proto: Any, scope: Any) -> bytes | Response:
    length = scope.headers.get("content-length")
    if length is None and scope.headers.get("transfer-encoding") is None:
        return b""
    content = bytearray()
    announced = length is not None and length.isdecimal() and len(length) < 10
    try:
        async with asyncio.timeout(BODY_READ_S):
            if announced and int(length) <= BODY_MAX:
                return bytes(await proto())
            async for part in proto:
                content += part
                if len(content) > BODY_MAX:
                    break
    except TimeoutError:
        return problem(408, "Body not received in time", "body", f"within {BODY_READ_S:g} s", headers=_CLOSE)
    if len(content) > BODY_MAX:
        return problem(413, "Body too large", "body", f"at most {BODY_MAX} bytes", headers=_CLOSE)
    return bytes(content)


_CLOSE: Headers = (("connection", "close"),)


@dataclass(slots=True)
class Listening:
    """A door that listens."""

    door: Door
    server: Server
    task: "asyncio.Task[None]"
    url: str
    other_threads: frozenset[int]  # native threads that were there before the server's

    async def stop(self) -> None:
        """Finish what is in flight within DRAIN_S and free the port."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self.door.idle()
        self.server.stop()  # type: ignore[no-untyped-call]
        done, _ = await asyncio.wait([self.task], timeout=DRAIN_S)
        if not done:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task
        await self._threads_ended()

    async def _threads_ended(self) -> None:
        """Wait for granian's last native thread: one that outlives the interpreter aborts the whole process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(THREADS_END_S):
                while _native_threads() - self.other_threads:  # noqa: ASYNC110 - a thread's end sends no event
                    await asyncio.sleep(0.002)


def _native_threads() -> frozenset[int]:
    """Threads of this process that Python did not start; none where the system does not list them."""
    if not THREADS.is_dir():
        return frozenset()
    ours = {thread.native_id for thread in threading.enumerate()}
    return frozenset(int(entry.name) for entry in THREADS.iterdir()) - ours


async def listen(door: Door, host: str, port: int) -> Listening:
    """Listen on the current event loop; OSError when the port is taken (granian itself would share it)."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    other_threads = _native_threads()
    server = Server(
        door,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=CONNECTIONS_MAX,
        log_enabled=False,
    )
    task = asyncio.get_running_loop().create_task(server.serve(), name=f"door {host}:{port}")
    listening = Listening(door, server, task, f"http://{host}:{port}", other_threads)
    async with asyncio.timeout(LISTEN_WITHIN_S):
        while not await _accepts(host, port):
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
    return listening


async def _accepts(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
