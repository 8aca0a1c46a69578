"""Ways to spoil the gateway's own books."""

from checker_books import HOLDER, World, an_id, transfer_id
from checker_lives import attempt_of, uetr_of
from checker_spoils import Spoil, in_gateway, key_of, return_credited


def _second_open(world: World) -> None:
    with world.spoil("gateway") as sql:
        sql.execute("DROP INDEX attempt_one_open")
        sql.execute(
            "INSERT INTO attempt (id, transfer, number, recorded_ms, lease_holder, lease_until_ms)"
            " VALUES (%s, %s, 2, 1, %s, 1)",
            (attempt_of("in_flight", 2), transfer_id(uetr_of("in_flight")), HOLDER),
        )


def _after_posted(world: World) -> None:
    with world.spoil("gateway") as sql:
        sql.execute(
            "INSERT INTO attempt (id, transfer, number, recorded_ms, lease_holder, lease_until_ms)"
            " VALUES (%s, %s, 2, 1, %s, 1)",
            (attempt_of("completed", 2), transfer_id(uetr_of("completed")), HOLDER),
        )


IN_GATEWAY = (
    Spoil(
        "status made final",
        "I9",
        in_gateway("UPDATE transfer SET status = 'COMPLETED' WHERE id = %s", key_of("held")),
        "make it RECEIVED",
    ),
    Spoil(
        "status put back",
        "I9",
        in_gateway("UPDATE transfer SET status = 'RECEIVED' WHERE id = %s", key_of("in_flight")),
        "make it IN_FLIGHT",
    ),
    Spoil(
        "rejected after custody",
        "I9",
        in_gateway("UPDATE transfer SET status = 'REJECTED', reason = 'x' WHERE id = %s", key_of("completed")),
        "make it COMPLETED",
    ),
    Spoil(
        "reason of a return",
        "I9",
        in_gateway("UPDATE transfer SET reason = 'wallet_closed' WHERE id = %s", key_of("burnt")),
    ),
    Spoil(
        "attempt under another id",
        "I10",
        in_gateway("UPDATE attempt SET id = %s WHERE id = %s", an_id("x"), attempt_of("in_flight")),
    ),
    Spoil(
        "attempt number skipped",
        "I10",
        in_gateway("UPDATE attempt SET number = 3 WHERE id = %s", attempt_of("after_refusal", 2)),
        "numbered from 1 to 3",
    ),
    Spoil("two open attempts", "I11", _second_open),
    Spoil("attempt after a posted one", "I11", _after_posted),
    Spoil(
        "return with an open attempt",
        "I12",
        in_gateway(
            "UPDATE attempt SET outcome = NULL WHERE id = %s",
            attempt_of("burnt"),
            before=("ALTER TABLE attempt DROP CONSTRAINT attempt_check",),
        ),
        "is open",
    ),
    Spoil("return of what was credited", "I12", return_credited, "is posted"),
    Spoil(
        "return under another id",
        "I12",
        in_gateway("UPDATE payment_return SET return_id = 'RTR1' WHERE transfer = %s", key_of("burnt")),
    ),
    Spoil(
        "burn due though it was sent",
        "I12",
        in_gateway("UPDATE payment_return SET burn_due = true WHERE transfer = %s", key_of("burnt")),
    ),
    Spoil(
        "closed without evidence",
        "I13",
        in_gateway(
            "UPDATE attempt SET chain_slot = NULL WHERE id = %s",
            attempt_of("burnt"),
            before=("ALTER TABLE attempt DROP CONSTRAINT attempt_check1",),
        ),
    ),
    Spoil(
        "not sent, says a later holder",
        "I13",
        in_gateway("UPDATE attempt SET lease_token = 2 WHERE id = %s", attempt_of("after_nothing_written")),
        "first holder",
    ),
    Spoil(
        "message without its transfer",
        "I14",
        in_gateway("DELETE FROM transfer WHERE id = %s", key_of("held")),
        "no transfer has it",
    ),
    Spoil(
        "transfer without its message",
        "I14",
        in_gateway("DELETE FROM message WHERE %s = ANY (uetrs)", uetr_of("held")),
        "is not there",
    ),
    Spoil(
        "order rewritten",
        "I14",
        in_gateway("UPDATE message SET body = 'other' WHERE %s = ANY (uetrs)", uetr_of("completed")),
    ),
    Spoil(
        "deadline before validity",
        "I15",
        in_gateway(
            "UPDATE transfer SET deadline_ms = 15000 WHERE id = %s",
            key_of("held"),
            before=("ALTER TABLE transfer DROP CONSTRAINT transfer_check",),
        ),
    ),
    Spoil(
        "returned unasked and early",
        "I15",
        in_gateway("UPDATE payment_return SET decided_ms = 19000 WHERE transfer = %s", key_of("unsent")),
    ),
    Spoil("final fact untold", "I16", in_gateway("DELETE FROM outbox WHERE transfer = %s", key_of("completed"))),
    Spoil(
        "return told of a held transfer",
        "I16",
        lambda world: world.gateway.tell("bank-a", uetr_of("held"), "return", settled=False),
    ),
    Spoil(
        "fact for another bank",
        "I16",
        in_gateway("UPDATE outbox SET bank = 'bank-b' WHERE transfer = %s", key_of("completed")),
    ),
    Spoil(
        "return no longer repeated",
        "I16",
        in_gateway("UPDATE outgoing_message SET settled_ms = 1 WHERE msg_id = %s", f"ret{uetr_of('unsent_owed').hex}"),
        "repeated no more",
    ),
    Spoil(
        "a break",
        "I17",
        in_gateway(
            "INSERT INTO reconciliation_break (transfer, kind, evidence, opened_ms)"
            " VALUES (%s, 'returned_but_posted', '{}', 1)",
            key_of("burnt"),
        ),
    ),
)
