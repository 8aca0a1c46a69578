"""What a declared restore of the gateway explains, to the cent, and what it does not explain.

Forgotten is a transfer that core and bank remember and agree about; whatever they do not agree about, and whatever
is younger than the raise, is found as before. What came back after a restore has every id dead in the core.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checker_books import WALLETS, World, lines, new_world, transfer_id
from checker_lives import AMOUNT, LIVES, A, attempt_of, live, uetr_of

from hakika.simulator.checker import Targets, verify
from hakika.store.embedded import EmbeddedPostgres, RoleAccess

RAISED_MS = 5_000
LONG_AGO_MS = -400_000  # a raise so long ago that the clocks' difference explains nothing in these books
Life = Callable[[World], None]


@pytest.fixture
def world(
    core_database: RoleAccess, gateway_database: RoleAccess, pg_server: EmbeddedPostgres, tmp_path: Path
) -> Iterator[World]:
    """Sound books, to which a restore is added."""
    with new_world(core_database, gateway_database, pg_server, tmp_path) as made:
        live(made, *LIVES)
        yield made


def raised(world: World, at_ms: int = RAISED_MS) -> None:
    with world.spoil("gateway") as sql:
        sql.execute("INSERT INTO incarnation VALUES (2, %s, 'a copy')", (at_ms,))


def forgotten(world: World, name: str, state: str, *, amount: int = AMOUNT, number: int = 1) -> None:
    """The bank has it as `state`, the gateway has never heard of it; `amount` was credited, 0 for nothing."""
    world.banks[A].debit(uetr_of(name), AMOUNT, WALLETS[0])
    world.banks[A].accept(uetr_of(name))
    if amount:
        world.core.credit(attempt_of(name, number), A, WALLETS[0], amount)
    if state != "accepted":
        world.banks[A].end(uetr_of(name), state)


def marked(world: World, name: str) -> None:
    """In custody, and older than the restore."""
    LIVES["held"](world, name)
    with world.spoil("gateway") as sql:
        sql.execute("UPDATE transfer SET burn_first = true WHERE id = %s", (transfer_id(uetr_of(name)),))


def burnt(world: World, name: str, *but: int) -> None:
    for number in range(1, 65):
        if number not in but:
            world.core.burn(attempt_of(name, number))


def back(world: World, name: str) -> None:
    world.gateway.give_back(A, uetr_of(name), "gateway_restored")
    world.banks[A].end(uetr_of(name), "returned")


def lost_lives(world: World) -> None:
    """What a restore may leave behind, all of it explained."""
    forgotten(world, "forgotten and credited", "completed")
    forgotten(world, "forgotten and credited late", "completed", number=7)
    forgotten(world, "forgotten and returned", "returned", amount=0)
    forgotten(world, "forgotten and refused", "returned", amount=0)
    world.core.refuse(attempt_of("forgotten and refused"), A, AMOUNT, "wallet_unknown")
    world.core.burn(attempt_of("forgotten and returned"))
    marked(world, "credited, not recorded yet")
    world.core.refuse(attempt_of("credited, not recorded yet", 1), A, AMOUNT, "position_short")
    world.core.credit(attempt_of("credited, not recorded yet", 2), A, WALLETS[0], AMOUNT)
    marked(world, "burnt under all ids")
    world.core.refuse(attempt_of("burnt under all ids", 1), A, AMOUNT, "position_short")
    burnt(world, "burnt under all ids", 1)
    back(world, "burnt under all ids")


def test_a_declared_restore_explains_what_it_lost(world: World) -> None:
    lost_lives(world)
    raised(world)
    for now_live in (True, False):
        result = verify(world.targets(live=now_live))
        assert lines(result) == []
        assert result.books.figures() == {
            "core_sum_minor": 0, "bank_vs_gateway_minor": 0, "gateway_vs_core_minor": 0,
        }  # fmt: skip
        assert result.counts["ends_forgotten_in_restore"] == 4
        assert result.counts["answers_not_recorded_yet"] == 2


def test_without_the_declaration_all_of_it_is_found(world: World) -> None:
    lost_lives(world)
    found = {line.split(":")[0].split(" ", 1)[0] for line in lines(verify(world.targets()))}
    assert {"I19", "I24"} <= found


def test_a_raise_of_long_ago_explains_nothing(world: World) -> None:
    forgotten(world, "credited", "completed")
    raised(world, LONG_AGO_MS)
    assert {line.split(" ")[0] for line in lines(verify(world.targets()))} >= {"I19", "I24"}


def test_without_the_banks_books_it_is_counted_and_not_judged(world: World) -> None:
    lost_lives(world)
    raised(world)
    targets = world.targets()
    result = verify(Targets(targets.core_url, targets.gateway_url, {}))
    assert lines(result) == []
    assert result.counts["credits_forgotten_in_restore"] == 2


def credited(world: World, name: str, number: int, amount: int = AMOUNT) -> None:
    world.core.credit(attempt_of(name, number), A, WALLETS[0], amount)


def credited_twice(world: World) -> None:
    forgotten(world, "x", "completed")
    credited(world, "x", 2)


def one_id_alive(world: World) -> None:
    marked(world, "x")
    burnt(world, "x", 33)
    back(world, "x")


def one_id_credited(world: World) -> None:
    marked(world, "x")
    credited(world, "x", 5)
    burnt(world, "x", 5)
    back(world, "x")


WRONG: dict[str, tuple[Life, set[str]]] = {
    "accepted at its bank": (lambda world: forgotten(world, "x", "accepted", amount=0), {"I24", "I27"}),
    "completed, never credited": (lambda world: forgotten(world, "x", "completed", amount=0), {"I24"}),
    "completed, another amount credited": (lambda world: forgotten(world, "x", "completed", amount=7_00), {"I24"}),
    "returned, and credited": (lambda world: forgotten(world, "x", "returned"), {"I22", "I24"}),
    "credited twice": (credited_twice, {"I22", "I24"}),
    "credited, unknown to its bank": (lambda world: credited(world, "y", 1), {"I19"}),
    "returned with one id alive": (one_id_alive, {"I20"}),
    "returned with one id credited": (one_id_credited, {"I20", "I22"}),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_restore_does_not_explain_is_found(world: World, case: str) -> None:
    spoil, codes = WRONG[case]
    raised(world)
    spoil(world)
    found = {line.split(" ")[0] for line in lines(verify(world.targets()))}
    assert found == codes
