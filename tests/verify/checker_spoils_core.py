"""Ways to spoil the core's own books."""

from checker_books import WALLETS, World, an_id
from checker_lives import attempt_of
from checker_spoils import Spoil, fee_id, in_core, rehash


def _void_after_post(world: World) -> None:
    with world.spoil("core") as sql:
        sql.execute("DROP INDEX entry_resolved_once")
    one, two = world.core.wallets[WALLETS[1]], world.core.wallets[WALLETS[2]]
    world.core.move("again", one, two, 100, kind="void", pending_id=an_id("r1").bytes)


def _twice_in_ledger(world: World) -> None:
    with world.spoil("core") as sql:
        sql.execute("ALTER TABLE entry DROP CONSTRAINT entry_pkey")
        sql.execute("INSERT INTO entry SELECT * FROM entry WHERE id = %s", (attempt_of("completed"),))


IN_LEDGER = (
    Spoil(
        "amount flipped",
        "I8",
        in_core("UPDATE entry SET amount_minor = amount_minor + 1 WHERE id = %s", attempt_of("completed")),
    ),
    Spoil(
        "amount flipped, seen in the balances",
        "I2",
        in_core("UPDATE entry SET amount_minor = amount_minor + 1 WHERE id = %s", attempt_of("completed")),
    ),
    Spoil("balance raised", "I2", in_core("UPDATE account SET credits_posted = credits_posted + 5 WHERE role = 'fee'")),
    Spoil(
        "money from nothing",
        "I1",
        in_core("UPDATE account SET credits_posted = credits_posted + 5 WHERE role = 'fee'"),
        "5 posted",
    ),
    Spoil(
        "balance after an entry",
        "I3",
        in_core(
            "UPDATE entry SET credit_credits_posted = credit_credits_posted + 1 WHERE id = %s", attempt_of("small")
        ),
    ),
    Spoil(
        "entry before forgotten",
        "I3",
        in_core("UPDATE entry SET debit_previous = NULL WHERE id = %s", attempt_of("small")),
        "first entries",
    ),
    Spoil(
        "last entry of an account",
        "I3",
        in_core("UPDATE account SET last_entry = %s WHERE role = 'fee'", lambda w: fee_id("completed")),
        "another follows",
    ),
    Spoil("entry into another currency", "I4", in_core("UPDATE account SET currency = 'UGX' WHERE role = 'fee'")),
    Spoil("reservation resolved twice", "I4", _void_after_post, "resolved 2 times"),
    Spoil(
        "more posted than reserved",
        "I4",
        in_core("UPDATE entry SET amount_minor = 101 WHERE id = %s", an_id("end of r1")),
        "more than was reserved",
    ),
    Spoil(
        "fee torn off",
        "I5",
        in_core("DELETE FROM entry WHERE id = %s", lambda w: fee_id("completed")),
        "1 of 2 members",
    ),
    Spoil(
        "fee to somebody else",
        "I5",
        in_core(
            "UPDATE entry SET credit = %s WHERE id = %s",
            lambda w: w.core.wallets[WALLETS[2]],
            lambda w: fee_id("completed"),
        ),
        "another account than the operator",
    ),
    Spoil(
        "id of the fee",
        "I5",
        in_core("UPDATE entry SET id = %s WHERE id = %s", an_id("other"), lambda w: fee_id("unbooked")),
        "does not follow",
    ),
    Spoil(
        "fee that the head states",
        "I5",
        in_core("UPDATE entry SET fee_minor = 1 WHERE id = %s", attempt_of("completed")),
        "states a fee of 1",
    ),
    Spoil(
        "half a set refused",
        "I5",
        in_core(
            "UPDATE entry SET refusal = 'x' WHERE id = %s",
            lambda w: fee_id("completed"),
            before=("ALTER TABLE entry DROP CONSTRAINT entry_shape",),
        ),
        "refused in part",
    ),
    Spoil("an id twice", "I6", _twice_in_ledger, "stored 2 times"),
    Spoil(
        "burn with money",
        "I6",
        in_core(
            "UPDATE entry SET amount_minor = 7, currency = 'KES' WHERE id = %s",
            attempt_of("burnt"),
            before=("ALTER TABLE entry DROP CONSTRAINT entry_shape",),
        ),
    ),
    Spoil(
        "ceiling below what is held",
        "I7",
        in_core(
            "UPDATE account SET ceiling_minor = 1 WHERE role = 'wallet'",
            before=("ALTER TABLE account DROP CONSTRAINT account_within_ceiling",),
        ),
        "its ceiling is 1",
    ),
    Spoil(
        "limit lifted",
        "I7",
        in_core("UPDATE account SET debits_must_not_exceed_credits = false WHERE role = 'position'"),
        "without the limit",
    ),
    Spoil(
        "wallet's account for a position",
        "I7",
        in_core(
            "UPDATE bank_position SET account = (SELECT account FROM wallet_account WHERE msisdn = %s)"
            " WHERE bank = 'bank-b'",
            WALLETS[2],
        ),
    ),
    Spoil("batch's instant", "I8", in_core("UPDATE batch SET at_ms = at_ms + 1 WHERE seq = 2 AND slot = 0")),
    Spoil("batch's hash", "I8", rehash),
    Spoil(
        "refusal's reason, in the chain",
        "I8",
        in_core("UPDATE entry SET refusal = 'other' WHERE id = %s", attempt_of("refused")),
    ),
    Spoil("batch in the middle gone", "I8", in_core("DELETE FROM batch WHERE slot = 0 AND seq = 3"), "missing between"),
    Spoil("anchor's hash", "I8", in_core("UPDATE anchor SET hash = %s WHERE number = 1", bytes(32))),
    Spoil(
        "anchored tail cut",
        "I8",
        in_core("DELETE FROM batch WHERE slot = 3 AND seq = (SELECT max(seq) FROM batch WHERE slot = 3)"),
        "the chain was cut",
    ),
    Spoil("incarnation skipped", "I8", in_core("UPDATE incarnation SET number = 3"), "gap"),
)
