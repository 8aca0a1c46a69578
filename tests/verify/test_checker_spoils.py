"""Every way to spoil the books is found, under the code of the invariant that it breaks."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from checker_books import World, copied, lines, new_world
from checker_lives import LIVES, live
from checker_spoils import Spoil
from checker_spoils_banks import AT_BANKS, GUARDS
from checker_spoils_between import BETWEEN
from checker_spoils_core import IN_LEDGER
from checker_spoils_gateway import IN_GATEWAY
from checker_spoils_health import HEALTH

from hakika.simulator.checker import verify
from hakika.simulator.checker_findings import CODES
from hakika.store.embedded import EmbeddedPostgres

SPOILS = (*IN_LEDGER, *IN_GATEWAY, *BETWEEN, *AT_BANKS, *GUARDS)
NUMBERS = count(1)


@pytest.fixture(scope="module")
def lived(templates: Any, pg_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One transfer of every kind of life; nobody is connected, so that it can be copied."""
    core, gateway = templates.copy("core"), templates.copy("gateway")
    with new_world(core, gateway, pg_server, tmp_path_factory.mktemp("lived")) as made:
        live(made, *LIVES)
    yield made
    templates.drop(core)
    templates.drop(gateway)


@pytest.fixture
def world(lived: World, pg_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[World]:
    """A copy to spoil."""
    with copied(lived, pg_server, next(NUMBERS), tmp_path) as made:
        yield made


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: f"{spoil.code} {spoil.name}")
def test_what_is_spoiled_is_found(world: World, spoil: Spoil) -> None:
    spoil.do(world)
    result = verify(world.targets(live=False))
    told = [line for line in lines(result) if line.startswith(f"{spoil.code} ") and spoil.words in line]
    assert told, "\n".join(lines(result))
    assert result.exit_status == 1
    assert "V0" not in result.found, lines(result)


def test_every_invariant_is_spoiled_at_least_once() -> None:
    spoiled = {spoil.code for spoil in SPOILS} | {spoil.code for spoil in HEALTH}
    assert spoiled >= set(CODES) - {"V0", "I28"}  # those two are in test_checker.py
    assert len({spoil.name for spoil in HEALTH}) == len(HEALTH)
    assert len({(spoil.code, spoil.name) for spoil in SPOILS}) == len(SPOILS)
