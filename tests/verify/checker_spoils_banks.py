"""Ways to spoil a bank's books, what bank and gateway agree on, and the databases' guards."""

from collections.abc import Callable

from checker_books import WALLETS, World, transfer_id
from checker_lives import AMOUNT, uetr_of
from checker_spoils import Spoil, in_books, in_core, in_gateway, key_of


def _recredit(name: str, state: str) -> Callable[[World], None]:
    """The bank gives money back, its own books in perfect order."""
    return lambda world: world.banks["bank-a"].end(uetr_of(name), state)


def _recredit_completed(world: World) -> None:
    bank = world.banks["bank-a"]
    bank.sql.execute("DROP TRIGGER transfer_end")
    bank.sql.execute("DROP TRIGGER journal_kept")
    uetr = str(uetr_of("completed"))
    bank.sql.execute(
        "UPDATE journal SET event = 'returned', credit = 'customer:1' WHERE uetr = ? AND event = 'completed'", (uetr,)
    )
    bank.sql.execute("UPDATE transfer SET state = 'returned', return_id = 'RTR1' WHERE uetr = ?", (uetr,))
    for account, amount in (("position_mirror", -AMOUNT), ("customer:1", AMOUNT)):
        bank.sql.execute("UPDATE account SET balance_minor = balance_minor + ? WHERE name = ?", (amount, account))


def _forget_transfer(world: World) -> None:
    """The gateway loses a transfer that it has given a receipt for, and its message with it."""
    with world.spoil("gateway") as sql:
        sql.execute("DELETE FROM message WHERE %s = ANY (uetrs)", (uetr_of("held"),))
        sql.execute("DELETE FROM transfer WHERE id = %s", (transfer_id(uetr_of("held")),))


def _invent_transfer(world: World) -> None:
    world.gateway.take("bank-a", uetr_of("invented"), AMOUNT, WALLETS[0])


AT_BANKS = (
    Spoil(
        "account raised",
        "I23",
        in_books(("UPDATE account SET balance_minor = balance_minor + 1 WHERE name = 'customer:1'", ())),
    ),
    Spoil(
        "money out of transit",
        "I23",
        lambda world: world.banks["bank-a"].move("in_transit", "own_funds", 100, None, "opening"),
    ),
    Spoil(
        "given back twice",
        "I23",
        in_books(
            (
                (
                    "INSERT INTO journal (at_ms, debit, credit, amount_minor, uetr, event) SELECT 9, debit, credit,"
                    " amount_minor, uetr, event FROM journal WHERE uetr = ? AND event = 'returned'"
                ),
                (str(uetr_of("burnt")),),
            )
        ),
    ),
    Spoil(
        "journal entry gone",
        "I23",
        in_books(("DELETE FROM journal WHERE uetr = ? AND event = 'debited'", (str(uetr_of("held")),))),
    ),
    Spoil("custody lost", "I24", _forget_transfer, "custody was lost"),
    Spoil(
        "promise shortened",
        "I24",
        in_gateway("UPDATE transfer SET deadline_ms = deadline_ms + 1 WHERE id = %s", key_of("held")),
        "was promised",
    ),
    Spoil(
        "another reference",
        "I24",
        in_gateway("UPDATE transfer SET tracking = %s WHERE id = %s", bytes(16), key_of("held")),
        "tracking",
    ),
    Spoil("custody of nothing", "I25", _invent_transfer, "never debited"),
    Spoil(
        "another amount in custody",
        "I25",
        in_gateway("UPDATE transfer SET amount_minor = 1 WHERE id = %s", key_of("held")),
    ),
    Spoil(
        "another creditor in custody",
        "I25",
        in_gateway("UPDATE transfer SET creditor_msisdn = %s WHERE id = %s", WALLETS[2], key_of("held")),
    ),
    Spoil("given back without a return", "I26", _recredit("held", "returned"), "RECEIVED at the gateway"),
    Spoil("given back as rejected", "I26", _recredit("in_flight", "rejected"), "had taken custody"),
    Spoil("booked too early", "I26", _recredit("in_flight", "completed"), "IN_FLIGHT at the gateway"),
    Spoil(
        "acknowledged, not booked",
        "I26",
        in_gateway("UPDATE payment_return SET acknowledged_ms = 1 WHERE transfer = %s", key_of("unsent_owed")),
        "acknowledged",
    ),
    Spoil(
        "taken, not booked",
        "I26",
        in_gateway("UPDATE outgoing_message SET settled_ms = 1 WHERE msg_id = %s", f"fin{uetr_of('unbooked').hex}"),
        "took the final status",
    ),
    Spoil("credited and given back", "I22", _recredit_completed, "given back to its debtor"),
    Spoil("transit does not add up", "I27", _recredit("held", "returned")),
    Spoil(
        "a contradiction",
        "I17",
        in_books(
            (
                "INSERT INTO contradiction (at_ms, word, uetr, rule) VALUES (1, 'return', ?, 'a rule')",
                (str(uetr_of("completed")),),
            )
        ),
    ),
)
GUARDS = (
    Spoil("trigger dropped", "I29", in_gateway("DROP TRIGGER return_guard ON payment_return"), "return_guard"),
    Spoil("trigger off", "I29", in_gateway("ALTER TABLE attempt DISABLE TRIGGER attempt_fits"), "attempt_fits"),
    Spoil("index dropped", "I29", in_gateway("DROP INDEX outbox_once"), "outbox_once"),
    Spoil("constraint dropped", "I29", in_core("ALTER TABLE entry DROP CONSTRAINT entry_place"), "entry_place"),
    Spoil(
        "entries may be edited", "I29", in_core("GRANT UPDATE (amount_minor) ON entry TO hakika_core_app"), "may UPDATE"
    ),
)
