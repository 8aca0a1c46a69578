"""`GET /t/<reference>` as page and as JSON, for whoever holds the link; HEAD comes through the door.

A wrong reference and an unknown one get the same answer. Each address has a generous budget of look-ups, and
misses a small one of their own, beside one for everybody: guessing is refused long before it could hurt, and
a page that exists is never refused because of somebody else's guesses. When the look-up fails, the answer
says since when we do not know.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import ceil

from hakika import clock
from hakika.channels.door import Request, Response, Route, problem
from hakika.channels.web.catalogue import Language, chosen_language, prefers_json
from hakika.channels.web.limiter import Limiter, client_key
from hakika.channels.web.policy import json_headers, page_headers
from hakika.channels.web.reference import decode_reference
from hakika.channels.web.render import (
    LOOK_AGAIN_S,
    as_json,
    busy_page,
    iso,
    page,
    unavailable_page,
    unknown_page,
)
from hakika.channels.web.view import TrackingView
from hakika.domain.reasons import InvariantBroken
from hakika.services.gateway.tracking import NotKnown

log = logging.getLogger(__name__)

HTML = "text/html; charset=utf-8"
JSON = "application/json"
# A carrier's address stands for thousands of phones, each looking every 20 s while an outage lasts.
LOOKS_PER_S, LOOKS_BURST = 50.0, 300.0
MISSES_PER_S, MISSES_BURST = 0.2, 20.0
ALL_MISSES_PER_S, ALL_MISSES_BURST = 20.0, 200.0
CLIENTS_MAX = 20_000
EVERYBODY = "everybody"

Lookup = Callable[[bytes], Awaitable[TrackingView | None]]


def _looks() -> Limiter:
    return Limiter(LOOKS_PER_S, LOOKS_BURST, CLIENTS_MAX)


def _misses() -> Limiter:
    return Limiter(MISSES_PER_S, MISSES_BURST, CLIENTS_MAX)


def _all_misses() -> Limiter:
    return Limiter(ALL_MISSES_PER_S, ALL_MISSES_BURST, 1)


@dataclass(slots=True)
class TrackingLimits:
    """Look-ups an address may make, and misses: its own and everybody's together."""

    looks: Limiter = field(default_factory=_looks)
    misses: Limiter = field(default_factory=_misses)
    all_misses: Limiter = field(default_factory=_all_misses)

    def look(self, client: str, now_s: float) -> float:
        """0.0, or seconds until this address may look again."""
        return self.looks.take(client, now_s)

    def miss(self, client: str, now_s: float) -> float:
        """0.0 when this miss is answered as such, else seconds to wait."""
        return self.misses.take(client, now_s) or self.all_misses.take(EVERYBODY, now_s)


def peer(request: Request) -> str:
    """The address that is counted when no proxy stands before us."""
    return client_key(request.client)


def tracking_routes(
    lookup: Lookup,
    limits: TrackingLimits | None = None,
    *,
    client_of: Callable[[Request], str] = peer,
    report_url: str = "",
) -> list[Route]:
    """The routes; behind a proxy of one's own `client_of` must take the address from what that proxy vouches for.

    Pages link to `report_url`, if there is one, for readers to say that something does not work.
    """
    tracking = _Tracking(lookup, limits or TrackingLimits(), client_of, clock.now_ms(), report_url)
    return [
        Route("GET", "/t/{ref}.json", tracking.json, body_max=0),
        Route("GET", "/t/{ref}", tracking.page, body_max=0),
    ]


@dataclass(slots=True)
class _Asked:
    """How the answer is wanted."""

    json: bool
    language: Language
    looking_again: bool


@dataclass(slots=True)
class _Tracking:
    """The handlers; `answered_ms` is when a look-up last succeeded."""

    lookup: Lookup
    limits: TrackingLimits
    client_of: Callable[[Request], str]
    answered_ms: int
    report_url: str = ""

    async def page(self, request: Request) -> Response:
        """The page, or JSON when Accept prefers it."""
        return await self._answer(request, _asked(request, json=prefers_json(request.headers.get("accept"))))

    async def json(self, request: Request) -> Response:
        """The JSON form."""
        return await self._answer(request, _asked(request, json=True))

    async def _answer(self, request: Request, asked: _Asked) -> Response:
        client = self.client_of(request)
        wait_s = self.limits.look(client, clock.monotonic_s())
        if wait_s:
            return _busy(asked, wait_s)
        raw = decode_reference(request.params["ref"])
        try:
            view = await self.lookup(raw) if raw is not None else None
        except InvariantBroken:
            raise
        except Exception as fault:
            if not isinstance(fault, NotKnown):
                log.exception("a tracking look-up failed")
            since_ms = fault.since_ms if isinstance(fault, NotKnown) else self.answered_ms
            return _unavailable(asked, since_ms, self.report_url)
        if raw is not None:
            self.answered_ms = clock.now_ms()
        if view is None:
            wait_s = self.limits.miss(client, clock.monotonic_s())
            return _busy(asked, wait_s) if wait_s else _unknown(asked)
        if asked.json:
            return Response(200, as_json(view), JSON, json_headers())
        body = page(view, asked.language, looking_again=asked.looking_again, report_url=self.report_url)
        return Response(200, body, HTML, page_headers(asked.language))


def _asked(request: Request, *, json: bool) -> _Asked:
    language = chosen_language(request.query.get("lang"), request.headers.get("accept-language"))
    return _Asked(json, language, request.query.get("look") != "once")


def _unknown(asked: _Asked) -> Response:
    as_of_ms = clock.now_ms()
    if asked.json:
        title = "No transfer under this reference"
        return problem(404, title, headers=json_headers(), as_of=iso(as_of_ms))
    return Response(404, unknown_page(asked.language, as_of_ms=as_of_ms), HTML, page_headers(asked.language))


def _unavailable(asked: _Asked, since_ms: int, report_url: str) -> Response:
    as_of_ms = clock.now_ms()
    retry = ("retry-after", str(LOOK_AGAIN_S))
    if asked.json:
        title = "Not known at present; the custody receipt names the deadline"
        headers = (*json_headers(), retry)
        return problem(503, title, headers=headers, not_known_since=iso(since_ms), as_of=iso(as_of_ms))
    body = unavailable_page(asked.language, since_ms, as_of_ms=as_of_ms, report_url=report_url)
    return Response(503, body, HTML, (*page_headers(asked.language), retry))


def _busy(asked: _Asked, wait_s: float) -> Response:
    as_of_ms = clock.now_ms()
    retry_s = max(1, ceil(wait_s))
    retry = ("retry-after", str(retry_s))
    if asked.json:
        headers = (*json_headers(), retry)
        return problem(429, "Too many look-ups from this address", headers=headers, as_of=iso(as_of_ms))
    body = busy_page(asked.language, as_of_ms=as_of_ms, retry_after_s=max(retry_s, LOOK_AGAIN_S))
    return Response(429, body, HTML, (*page_headers(asked.language), retry))
