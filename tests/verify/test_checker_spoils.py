"""Every way to spoil the books is found, under the code of the invariant that it breaks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from checker_books import World, lines, new_world
from checker_lives import LIVES, live
from checker_spoils import Spoil
from checker_spoils_banks import AT_BANKS, GUARDS
from checker_spoils_between import BETWEEN
from checker_spoils_core import IN_LEDGER
from checker_spoils_gateway import IN_GATEWAY

from hakika.simulator.checker import verify
from hakika.simulator.checker_findings import CODES
from hakika.store.embedded import EmbeddedPostgres, RoleAccess

SPOILS = (*IN_LEDGER, *IN_GATEWAY, *BETWEEN, *AT_BANKS, *GUARDS)


@pytest.fixture
def world(
    core_database: RoleAccess, gateway_database: RoleAccess, pg_server: EmbeddedPostgres, tmp_path: Path
) -> Iterator[World]:
    """One transfer of every kind of life."""
    with new_world(core_database, gateway_database, pg_server, tmp_path) as made:
        live(made, *LIVES)
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
    assert {spoil.code for spoil in SPOILS} >= set(CODES) - {"V0", "I28"}  # those two are in test_checker.py
    assert len({(spoil.code, spoil.name) for spoil in SPOILS}) == len(SPOILS)
