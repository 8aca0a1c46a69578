"""`GET /internal/signals?after=N`: what a role has counted, for health and for nobody else.

The answer is made from memory alone. It is given even when too many requests are in flight, because that is when
health wants to know. Without a token of health there is no such route.
"""

import hashlib
import hmac

import msgspec

from hakika.channels.door import Request, RequestRefused, Response, Route, problem
from hakika.services.signals import Counts

PATH = "/internal/signals"
DIGITS_MAX = 15


def signals_routes(source: str, counts: Counts, token: str) -> list[Route]:
    """The route of a role named `source` for the bearer of `token`; none where it is empty."""
    if not token:
        return []
    expected = _digest(f"Bearer {token}")

    async def signals(request: Request) -> Response:
        if not hmac.compare_digest(_digest(request.headers.get("authorization", "")), expected):
            challenge = (("www-authenticate", "Bearer"),)
            return problem(401, "Not authenticated", "Authorization", "Bearer and health's token", headers=challenge)
        return Response(200, msgspec.json.encode(counts.since(source, _after(request))))

    return [Route("GET", PATH, signals, body_max=0, uncounted=True)]


def _after(request: Request) -> int:
    text = request.query.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise RequestRefused(problem(400, "Malformed request", "after", "the number of an interval"))
    return int(text)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
