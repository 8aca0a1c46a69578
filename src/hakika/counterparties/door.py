"""The bank's own HTTP front over `hakika.http1`: a table of routes, bounded bodies, errors that name field and rule.

A bank is another institution with programs of its own, so this is not the platform's door; it is the least that
a demo bank needs. A handler may answer `Silence`: the caller is left waiting until it gives up.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qsl

from hakika import clock
from hakika.http1 import server as http1
from hakika.http1.arrived import Arrived, Gone

BODY_MAX = 2_000_000
BODY_READ_S = 10.0
SILENCE_S_MAX = 60.0
IN_FLIGHT_MAX = 512
DRAIN_S = 5.0
FORM_FIELDS_MAX = 20
CONNECTIONS_END_S = 1.0

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

    async def __call__(self, arrived: Arrived) -> None:
        """Answer one request; or never, until its caller hangs up."""
        self.in_flight += 1
        self._idle.clear()
        response: Response | Silence | None = None
        try:
            response = await self._answer(arrived)
            if not isinstance(response, Silence):
                arrived.respond(response.status, response.content_type, response.headers, response.body)
        except Gone:
            log.info("the caller left before the answer to %s %s", arrived.method, arrived.path)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()
        if isinstance(response, Silence):
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_S_MAX):
                    await arrived.hung_up()

    async def idle(self) -> None:
        """Return when no request is in flight."""
        await self._idle.wait()

    async def _answer(self, arrived: Arrived) -> Response | Silence:
        method = "GET" if arrived.method == "HEAD" else arrived.method
        allowed: list[str] = []
        for route_method, pattern, handler in self._routes:
            match = pattern.fullmatch(arrived.path)
            if match is None:
                continue
            if route_method != method:
                allowed.append(route_method)
                continue
            if self.in_flight > IN_FLIGHT_MAX:
                return problem(503, "Too many requests in flight", headers=(("retry-after", "1"),))
            try:
                body = await _body(arrived)
                if isinstance(body, Response):
                    return body
                return await handler(Request(method, arrived.path, arrived.headers, body, match.groupdict()))
            except Gone:
                raise
            except Exception:
                request_id = clock.new_id().hex
                log.exception("request %s failed: %s %s", request_id, arrived.method, arrived.path)
                return problem(500, "Internal error", request_id=request_id)
        if allowed:
            return problem(405, "Method not served under this path", headers=(("allow", ", ".join(allowed)),))
        return problem(404, "Nothing is served under this path")


async def _body(arrived: Arrived) -> bytes | Response:
    try:
        async with asyncio.timeout(BODY_READ_S):
            body = await arrived.body(BODY_MAX, BODY_MAX)
    except TimeoutError:
        return problem(408, "Body not received in time", "body", f"within {BODY_READ_S:g} s", headers=_CLOSE)
    if body is None:
        return problem(413, "Body too large", "body", f"at most {BODY_MAX} bytes", headers=_CLOSE)
    return body


_CLOSE: Headers = (("connection", "close"),)


@dataclass(slots=True)
class Listening:
    """A door that listens."""

    door: Door
    server: http1.Server
    url: str

    async def stop(self) -> None:
        """Finish what is in flight within DRAIN_S and free the port."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self.door.idle()
        await self.server.stop(CONNECTIONS_END_S)


async def listen(door: Door, host: str, port: int) -> Listening:
    """Listen on the current event loop; OSError when the port is taken."""
    server, bound = await http1.listen(door, host, port)
    return Listening(door, server, f"http://{host}:{bound}")
