"""Fixtures for the demo banks' tests: one scripted gateway and as many bank processes as a test starts."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from bank_harness import BankProcess, Keys, ScriptedGateway, StartBank


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys()


@pytest.fixture
async def gateway(keys: Keys) -> AsyncIterator[ScriptedGateway]:
    scripted = ScriptedGateway(keys)
    await scripted.start()
    yield scripted
    await scripted.stop()


@pytest.fixture
async def start_bank(gateway: ScriptedGateway, tmp_path: Path) -> AsyncIterator[StartBank]:
    """Start a bank with these settings; `crash_at` arms a crash point, `seed_books` fills the books before.

    The books are checked at the end, and the log holds no traceback.
    """
    started: list[BankProcess] = []

    async def start(
        *, crash_at: str | None = None, seed_books: Callable[[Path], None] | None = None, **settings: Any
    ) -> BankProcess:
        folder = tmp_path / f"bank{len(started)}"
        folder.mkdir()
        bank = BankProcess(folder, gateway, **settings)
        started.append(bank)
        if seed_books is not None:
            seed_books(bank.books_file)
        await bank.start(crash_at)
        return bank

    yield start
    for bank in started:
        await bank.client.aclose()
        await bank.stop()
        bank.books().check()
        log = bank.log_file.read_text()
        assert "Traceback" not in log, log
