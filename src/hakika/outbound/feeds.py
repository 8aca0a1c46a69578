"""Fetching a public feed: one GET, with what the server said last time, an explicit deadline and a bound on bytes.

Redirects are not followed and nothing is decompressed, so that neither another host nor a bomb is reached by a feed's
own word. A feed that has not changed costs its server a header.
"""

import asyncio
from dataclasses import dataclass

import httpx2

FETCH_S = 10.0
BODY_MAX = 1_000_000
VALIDATOR_MAX = 256


@dataclass(frozen=True, slots=True)
class Body:
    """What the feed consists of now; `kind` is its media type in lower case, without parameters."""

    content: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing new since the last fetch."""


class FeedUnreachable(Exception):
    """No feed was received; the text says how."""


class FeedClient:
    """One feed at one address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._etag = ""
        self._modified = ""
        self._http = httpx2.AsyncClient(
            headers={"Accept": "application/feed+json, application/atom+xml, application/json", "User-Agent": "hakika"},
            timeout=httpx2.Timeout(FETCH_S),
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=0),
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def get(self) -> Body | Unchanged:
        """The feed within FETCH_S seconds. Raises FeedUnreachable."""
        headers = {"Accept-Encoding": "identity"}
        for name, value in (("If-None-Match", self._etag), ("If-Modified-Since", self._modified)):
            if value:
                headers[name] = value
        try:
            async with asyncio.timeout(FETCH_S), self._http.stream("GET", self._url, headers=headers) as response:
                if response.status_code == 304:
                    return Unchanged()
                if response.status_code != 200:
                    raise FeedUnreachable(f"HTTP {response.status_code}")
                if response.headers.get("content-encoding", "identity").lower() != "identity":
                    raise FeedUnreachable("compressed, which was not asked for")
                content = bytearray()
                async for part in response.aiter_raw():
                    content += part
                    if len(content) > BODY_MAX:
                        raise FeedUnreachable(f"more than {BODY_MAX} bytes")
                self._etag = response.headers.get("etag", "")[:VALIDATOR_MAX]
                self._modified = response.headers.get("last-modified", "")[:VALIDATOR_MAX]
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                return Body(bytes(content), kind)
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise FeedUnreachable(type(error).__name__) from error
