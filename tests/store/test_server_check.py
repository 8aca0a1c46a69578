"""A PostgreSQL that may lose what it acknowledged is refused by name."""

from pathlib import Path

import pytest

from hakika.store import server_check
from hakika.store.embedded import EmbeddedPostgres, ServerUnfit, check_server
from hakika.store.lane import StoreFault


async def test_unsafe_settings_are_named(fast_folder: Path) -> None:
    unsafe = {"fsync": "off", "full_page_writes": "off", "data_sync_retry": "on", "synchronous_commit": "off"}
    server = EmbeddedPostgres(fast_folder / "unsafe" / "pg", settings=unsafe, durable_initdb=False)
    await server.start()
    try:
        with pytest.raises(ServerUnfit) as caught:
            await check_server(server.url())
    finally:
        await server.stop()
    for part in ("fsync is off, must be on", "full_page_writes is off", "data_sync_retry is on, must be off"):
        assert part in str(caught.value)
    assert "synchronous_commit is off" in str(caught.value)


async def test_old_version_is_named(pg_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_check, "VERSION_MIN", 99)
    with pytest.raises(ServerUnfit, match="PostgreSQL 18 is too old, 99 is the oldest that fits"):
        await check_server(pg_server.url())


async def test_no_server_is_a_fault_and_no_verdict() -> None:
    with pytest.raises(StoreFault):
        await check_server("postgresql://u:p@127.0.0.1:1/d", deadline_s=2)
