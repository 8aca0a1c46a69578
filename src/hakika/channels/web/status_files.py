"""Hands out the published status page from its folder, for machines that have no web server beside health.

In production any server, object store or CDN serves the same folder, so that the page is there when health is not.
A file is looked up by the names that the publisher has written, never by joining what was asked to a path.
"""

import asyncio
from math import ceil
from pathlib import Path

from hakika import clock
from hakika.channels.door import Request, Response, Route, problem
from hakika.channels.web.limiter import Limiter, client_key

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".atom": "application/atom+xml",
    ".ics": "text/calendar; charset=utf-8",
    ".svg": "image/svg+xml",
}
LIVE = "current"
FRESH = (("cache-control", "max-age=5"), ("x-content-type-options", "nosniff"))
STATEMENTS = "statements"


def status_files(folder: Path) -> list[Route]:
    """The routes `/`, `/<file>` and `/<language>/<file>` over the folder that the publisher writes."""

    limiter = Limiter(rate_per_s=20.0, burst=200.0, clients_max=10_000)

    async def handle(request: Request) -> Response:
        wait_s = limiter.take(client_key(request.client), clock.monotonic_s())
        if wait_s > 0:
            return problem(429, "Too many requests", headers=(("retry-after", str(max(1, ceil(wait_s)))),))
        asked = "/".join(request.params[name] for name in ("language", "file") if name in request.params)
        found = await asyncio.to_thread(_read, folder, asked or "index.html")
        if found is None:
            return problem(404, "No such file of the status page")
        body, suffix = found
        return Response(200, body, TYPES[suffix], FRESH)

    return [
        Route("GET", "/", handle),
        Route("GET", "/{file}", handle),
        Route("GET", "/{language}/{file}", handle),
    ]


def _read(folder: Path, asked: str) -> tuple[bytes, str] | None:
    """A published file and its ending; None where there is none of this name."""
    root = folder if asked.startswith(f"{STATEMENTS}/") else (folder / LIVE).resolve()
    try:
        names = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        path = names.get(asked)
        if path is None or path.suffix not in TYPES:
            return None
        return path.read_bytes(), path.suffix
    except OSError:
        return None
