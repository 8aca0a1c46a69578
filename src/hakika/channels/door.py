"""The door: a small HTTP front over `hakika.http1` for every role, one table of routes each.

It bounds what a stranger can cost: bodies are read to a limit and within a time, requests in flight are
counted, headers and paths come decoded or not at all. Whatever a handler raises leaves as a 500 that carries
a request id and nothing else; the log has the rest under the same id. Errors are problem+json (RFC 9457)
that name the field and the rule. What a request means is the handler's business.
"""

import asyncio
import json
import logging
import re
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec

from hakika import clock
from hakika.channels.time_limit import TimeLimit
from hakika.domain.reasons import InvariantBroken
from hakika.http1.arrived import Arrived, Gone
from hakika.http1.server import Server, listen

BODY_READ_S = 10.0
BODY_MAX = 1_000_000
DISCARD_MAX = 100_000_000
QUERY_FIELDS_MAX = 20
RETRY_AFTER_S = 1
DRAIN_S = 10.0
CONNECTIONS_END_S = 1.0

log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]


class Request(msgspec.Struct, frozen=True):
    """What arrived: header names in lower case, `client` the peer's address, `params` from the path."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    client: str
    params: dict[str, str]


class Response(msgspec.Struct, frozen=True):
    """What leaves; Content-Length and Content-Type are written from it."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Headers = ()


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path pattern such as `/t/{ref}`; a parameter matches one non-empty segment."""

    method: str
    path_pattern: str
    handler: Handler
    body_max: int = BODY_MAX
    uncounted: bool = False  # answered even when too many requests are in flight: health checks
    translate: Callable[[Response], Response] | None = None  # the door's own refusals in the caller's protocol


class RequestRefused(Exception):
    """Raised in a handler to end the request with `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def problem(
    status: int,
    title: str,
    field: str | None = None,
    rule: str | None = None,
    *,
    detail: str | None = None,
    headers: Headers = (),
    **extra: str | int | bool,
) -> Response:
    """A problem+json response naming the field and the rule that was broken."""
    content: dict[str, str | int | bool] = {"type": "about:blank", "title": title, "status": status}
    for name, value in (("field", field), ("rule", rule), ("detail", detail)):
        if value is not None:
            content[name] = value
    content.update(extra)
    return Response(status, json.dumps(content).encode(), "application/problem+json", headers)


def busy(title: str = "Too many requests in flight", *, retry_after_s: int = RETRY_AFTER_S) -> Response:
    """503 with Retry-After: nothing was stored, ask again later."""
    return problem(503, title, rule="nothing was stored", headers=(("retry-after", str(retry_after_s)),))


_PARAMETER = re.compile(r"\{([a-z_]+)\}")


@dataclass(slots=True)
class _Table:
    """Routes by literal path, and by pattern for the rest."""

    literal: dict[str, dict[str, Route]] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = field(default_factory=list)

    def add(self, route: Route) -> None:
        if "{" not in route.path_pattern:
            methods = self.literal.setdefault(route.path_pattern, {})
        else:
            parts = _PARAMETER.split(route.path_pattern)
            source = "".join(re.escape(p) if i % 2 == 0 else f"(?P<{p}>[^/]+)" for i, p in enumerate(parts))
            compiled = re.compile(source)
            known = next((methods for pattern, methods in self.patterns if pattern == compiled), None)
            methods = known if known is not None else {}
            if known is None:
                self.patterns.append((compiled, methods))
        if route.method in methods:
            raise InvariantBroken(f"route {route.method} {route.path_pattern} is there twice")
        methods[route.method] = route

    def find(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        """The methods under a path with the path's parameters; no methods when nothing matches."""
        methods = self.literal.get(path)
        if methods is not None:
            return methods, {}
        for pattern, under in self.patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                return under, match.groupdict()
        return {}, {}


class Door:
    """The application over routes; at most `concurrency_max` requests at once, a body within `body_read_s`."""

    def __init__(self, routes: Iterable[Route], *, concurrency_max: int, body_read_s: float = BODY_READ_S) -> None:
        self._table = _Table()
        for route in routes:
            self._table.add(route)
        self._concurrency_max = concurrency_max
        self._in_flight = 0
        self._closing = False
        self._idle = asyncio.Event()
        self._body_read_s = body_read_s
        self._reading = TimeLimit(body_read_s)

    @property
    def in_flight(self) -> int:
        """Requests being answered now."""
        return self._in_flight

    def close(self) -> None:
        """Answer 503 to whatever arrives from now on; what is in flight is finished."""
        self._closing = True
        if not self._in_flight:
            self._idle.set()

    async def drained(self) -> None:
        """Return once closed and no request is in flight."""
        await self._idle.wait()

    async def __call__(self, arrived: Arrived) -> None:
        """Answer one request."""
        self._in_flight += 1
        try:
            response = await self._answer(arrived)
            headers = response.headers if not self._closing else (*response.headers, ("connection", "close"))
            arrived.respond(response.status, response.content_type, headers, response.body)
        except Gone:
            log.info("the caller left before the answer to %s %s", arrived.method, arrived.path)
        finally:
            self._in_flight -= 1
            if self._closing and not self._in_flight:
                self._idle.set()

    async def _answer(self, arrived: Arrived) -> Response:
        methods, params = self._table.find(arrived.path)
        if not methods:
            return problem(404, "Nothing is served under this path")
        method = "GET" if arrived.method == "HEAD" and "HEAD" not in methods else arrived.method
        route = methods.get(method)
        if route is None:
            return problem(405, "Method not served under this path", headers=(("allow", ", ".join(sorted(methods))),))
        if not route.uncounted and (self._closing or self._in_flight > self._concurrency_max):
            return _told(route, busy("Closing" if self._closing else "Too many requests in flight"))
        try:
            query = _query(arrived.query)
            body = await self._body(arrived, route.body_max)
            return await route.handler(
                Request(arrived.method, arrived.path, query, arrived.headers, body, arrived.client, params)
            )
        except RequestRefused as refused:
            return _told(route, refused.response)
        except Gone:
            raise
        except Exception:
            request_id = clock.new_id().hex
            log.exception("request %s failed: %s %s", request_id, arrived.method, arrived.path)
            return _told(route, problem(500, "Internal error", request_id=request_id))

    async def _body(self, arrived: Arrived, limit: int) -> bytes:
        """The whole body, or RequestRefused 413 as soon as it is known to pass `limit`, 408 when it dawdles."""
        length = arrived.headers.get("content-length")
        if length is not None and int(length) > limit + DISCARD_MAX:
            raise _too_large(limit)
        try:
            reading = arrived.body(limit, limit + DISCARD_MAX)
            body = await (reading if arrived.whole else self._reading.wait(reading))
        except TimeoutError as error:
            late = problem(408, "Body not received in time", "body", f"within {self._body_read_s:g} s")
            raise RequestRefused(late) from error
        if body is None:
            raise _too_large(limit)
        return body


def _told(route: Route, response: Response) -> Response:
    """A refusal of the door itself, in the words of the route's protocol."""
    return route.translate(response) if route.translate else response


def _query(text: str) -> dict[str, str]:
    """Query fields, each at most once."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise RequestRefused(problem(400, "Unreadable query", rule="UTF-8, few fields")) from error
    query = dict(pairs)
    if len(query) != len(pairs):
        raise RequestRefused(problem(400, "Query field repeated", rule="each query field at most once"))
    return query


def _too_large(limit: int) -> RequestRefused:
    refusal = problem(413, "Body too large", "body", f"at most {limit} bytes", headers=(("connection", "close"),))
    return RequestRefused(refusal)


class PortTaken(OSError):
    """Another process listens there already."""


@dataclass(slots=True)
class Running:
    """A door that listens."""

    door: Door
    host: str
    port: int
    _server: Server

    @property
    def url(self) -> str:
        """Base URL without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def stop(self, *, drain_s: float = DRAIN_S) -> None:
        """Refuse what comes, finish what is in flight (at most `drain_s`), free the port."""
        self.door.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self.door.drained()
        await self._server.stop(CONNECTIONS_END_S)


async def serve(door: Door, host: str, port: int) -> Running:
    """Listen on the current event loop; port 0 picks a free one. Raises PortTaken when it does not fit."""
    try:
        server, bound = await listen(door, host, port)
    except OSError as error:
        raise PortTaken(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return Running(door, host, bound, server)


async def stop_requested() -> None:
    """Return at the first SIGTERM or SIGINT; call `Running.stop` then."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()
