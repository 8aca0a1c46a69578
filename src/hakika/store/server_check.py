"""Whether a PostgreSQL given by URL keeps what it acknowledges: its version and the settings that matter.

A server with fsync off starts without a word after a power cut and has lost commits; one that retries a
failed fsync believes data to be safe that are not. Such a server is refused at start-up, by name.
"""

from dataclasses import dataclass
from typing import Any

import psycopg

from hakika.store.lane import Lane, StoreFault

VERSION_MIN = 15
ASK_S = 10.0
SAFE: dict[str, tuple[str, ...]] = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "data_sync_retry": ("off",),
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
    "zero_damaged_pages": ("off",),
    "ignore_checksum_failure": ("off",),
    "server_encoding": ("UTF8",),
}


class ServerUnfit(Exception):
    """The server cannot be used; the text names each setting and what it must be."""


@dataclass(frozen=True)
class ServerFacts:
    """What a fit server said of itself."""

    version: int
    in_recovery: bool


async def check_server(url: str, *, deadline_s: float = ASK_S) -> ServerFacts:
    """Ask the server at `url` for its version and settings, within `deadline_s` seconds.

    Raises ServerUnfit when it is too old or unsafe, store.lane.StoreFault when it cannot be asked.
    """
    lane = Lane(url, name="hakika check")
    try:
        found = await lane.run(_ask, deadline_s=deadline_s)
    finally:
        await lane.close()
    number = int(found["server_version_num"])
    troubles = [
        f"{name} is {found[name]}, must be {' or '.join(allowed)}"
        for name, allowed in SAFE.items()
        if found[name] not in allowed
    ]
    if number // 10_000 < VERSION_MIN:
        troubles.insert(0, f"PostgreSQL {number // 10_000} is too old, {VERSION_MIN} is the oldest that fits")
    if troubles:
        raise ServerUnfit(f"this PostgreSQL cannot keep money: {'; '.join(troubles)}")
    return ServerFacts(version=number, in_recovery=found["in_recovery"] == "true")


async def _ask(connection: psycopg.AsyncConnection[Any]) -> dict[str, str]:
    names = ["server_version_num", *SAFE]
    cursor = await connection.execute(
        "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS asked(name) "
        "UNION ALL SELECT 'in_recovery', pg_is_in_recovery()::text",
        (names,),
    )
    found = {str(name): str(value) for name, value in await cursor.fetchall()}
    if found.keys() != {*names, "in_recovery"}:
        raise StoreFault("the server did not tell all of its settings")
    return found
