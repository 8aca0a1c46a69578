"""Ways to make gateway and core disagree, each in order by itself."""

from checker_books import WALLETS, World, an_id
from checker_lives import AMOUNT, attempt_of, uetr_of
from checker_spoils import Spoil, in_core, in_gateway, key_of, rehash, return_credited


def _second_credit(world: World) -> None:
    world.core.credit(attempt_of("completed", 2), "bank-a", WALLETS[1], AMOUNT)


def _credit_after_return(world: World) -> None:
    world.core.credit(attempt_of("unsent_owed"), "bank-a", WALLETS[0], AMOUNT)


def _credit_from_nowhere(world: World) -> None:
    world.core.credit(an_id("nobody's"), "bank-b", WALLETS[1], AMOUNT)


def _refusal_from_nowhere(world: World) -> None:
    world.core.refuse(an_id("r"), "bank-a", 5, "wallet_closed")


def _unnamed_credit(world: World) -> None:
    """An operator's entry, with no instruction behind it, from a bank's money to a wallet."""
    world.core.move("skim", world.core.positions["bank-a"], world.core.wallets[WALLETS[2]], 700)


def _cut_tail(world: World) -> None:
    """A restore that nobody declared: the last batch with its rows, and the anchor over it, are gone."""
    with world.spoil("core") as sql:
        sql.execute("DELETE FROM anchor WHERE number = 2")
        place = (attempt_of("unbooked"),)
        sql.execute(
            "DELETE FROM batch USING entry e WHERE e.id = %s AND (batch.slot, batch.seq) >= (e.slot, e.seq)", place
        )
        sql.execute(
            "DELETE FROM entry WHERE NOT EXISTS (SELECT FROM batch b WHERE (b.slot, b.seq) = (entry.slot, entry.seq))"
        )


def _complete_unposted(world: World) -> None:
    """COMPLETED, told and booked, and never posted."""
    place = world.core.move("a place", world.core.settlement, world.core.wallets[WALLETS[1]], 1)
    uetr = uetr_of("in_flight")
    world.gateway.close(attempt_of("in_flight"), "posted", place)
    world.gateway.status(uetr, "COMPLETED", fee=5_00)
    world.gateway.tell("bank-a", uetr, "final", settled=True)
    world.banks["bank-a"].end(uetr, "completed")


BETWEEN = (
    Spoil("completed and never posted", "I18", _complete_unposted, "nothing posted under its id"),
    Spoil(
        "posted to another wallet",
        "I18",
        in_core(
            "UPDATE entry SET credit = %s WHERE id = %s", lambda w: w.core.wallets[WALLETS[1]], attempt_of("completed")
        ),
        WALLETS[1],
    ),
    Spoil(
        "order changed after the credit",
        "I18",
        in_gateway("UPDATE transfer SET amount_minor = amount_minor + 100 WHERE id = %s", key_of("completed")),
    ),
    Spoil(
        "content changed",
        "I18",
        in_core("UPDATE entry SET content = %s WHERE id = %s", bytes(32), attempt_of("completed")),
        "other content",
    ),
    Spoil(
        "fee changed",
        "I18",
        in_gateway("UPDATE transfer SET fee_minor = 1 WHERE id = %s", key_of("completed")),
        "a fee of 1 here",
    ),
    Spoil("posting that nobody asked for", "I19", _credit_from_nowhere, "no attempt of any transfer"),
    Spoil("posting without an instruction", "I19", _unnamed_credit),
    Spoil(
        "attempt deleted",
        "I19",
        in_gateway("DELETE FROM attempt WHERE id = %s", attempt_of("in_doubt")),
        "never recorded",
    ),
    Spoil(
        "refusal without an attempt",
        "I19",
        _refusal_from_nowhere,
        "refused",
    ),
    Spoil("burn undone", "I20", in_core("DELETE FROM entry WHERE id = %s", attempt_of("burnt")), "knows nothing"),
    Spoil(
        "unsent return never burnt",
        "I20",
        in_core("DELETE FROM entry WHERE id = %s", attempt_of("unsent")),
        "burn_done",
    ),
    Spoil(
        "refusal called a burn",
        "I20",
        in_gateway("UPDATE attempt SET outcome = 'burnt', reason = NULL WHERE id = %s", attempt_of("refused")),
        "refused (wallet_unknown)",
    ),
    Spoil(
        "refusal's reason",
        "I20",
        in_gateway("UPDATE attempt SET reason = 'wallet_closed' WHERE id = %s", attempt_of("refused")),
    ),
    Spoil(
        "not sent, yet posted",
        "I20",
        in_gateway(
            "UPDATE attempt SET outcome = 'not_sent', closed_ms = 1, closed_by = lease_holder, "
            "closed_token = 1 WHERE id = %s",
            attempt_of("in_doubt"),
        ),
        "posted in the core",
    ),
    Spoil("tail cut", "I21", _cut_tail, "is gone"),
    Spoil("tail rewritten", "I21", rehash, "another hash"),
    Spoil(
        "head that was never told",
        "I21",
        in_gateway("UPDATE attempt SET chain_head = %s WHERE id = %s", bytes(32), attempt_of("completed")),
    ),
    Spoil(
        "answer from another batch",
        "I21",
        in_gateway(
            "UPDATE attempt SET chain_seq = b.seq, chain_head = b.head"
            " FROM (SELECT chain_seq AS seq, chain_head AS head FROM attempt WHERE id = %s) AS b WHERE id = %s",
            attempt_of("small"),
            attempt_of("completed"),
        ),
        "is stored in batch",
    ),
    Spoil(
        "core put back undeclared",
        "I21",
        in_gateway("UPDATE attempt SET core_incarnation = 2 WHERE id = %s", attempt_of("completed")),
        "undeclared",
    ),
    Spoil("credited twice", "I22", _second_credit, "unrecorded attempt 2"),
    Spoil("credited and returned", "I22", return_credited, "is returned to its bank"),
    Spoil("credited after an unsent return", "I22", _credit_after_return),
)
