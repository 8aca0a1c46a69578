"""Ways to spoil sound books, one by one, each with the code of the finding that must name it.

Whoever spoils is a superuser on whose connection no trigger fires, or somebody with the bank's file. Where a
constraint would still refuse, it is dropped first: then the recount must find both, the breach and the guard.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

from checker_books import World, transfer_id
from checker_lives import A, attempt_of, uetr_of

from hakika.ids import member_id, return_id


@dataclass(frozen=True)
class Spoil:
    """One corruption and what must be found: its code, in a finding that contains these words."""

    name: str
    code: str
    do: Callable[[World], None]
    words: str = ""


def in_core(statement: LiteralString, *values: Any, before: tuple[LiteralString, ...] = ()) -> Callable[[World], None]:
    """One statement on the core's tables; values may be made from the world."""
    return lambda world: _run(world, "core", before, statement, values)


def in_gateway(
    statement: LiteralString, *values: Any, before: tuple[LiteralString, ...] = ()
) -> Callable[[World], None]:
    """One statement on the gateway's tables."""
    return lambda world: _run(world, "gateway", before, statement, values)


def _run(world: World, role: str, before: tuple[LiteralString, ...], statement: LiteralString, values: Any) -> None:
    with world.spoil(role) as sql:
        for each in before:
            sql.execute(each)
        changed = sql.execute(statement, [value(world) if callable(value) else value for value in values])
        assert changed.rowcount != 0, "nothing was spoiled"


def in_books(*statements: tuple[str, tuple[Any, ...]]) -> Callable[[World], None]:
    """Statements on bank-a's file, with its triggers and checks out of the way."""

    def do(world: World) -> None:
        sql: sqlite3.Connection = world.banks["bank-a"].sql
        for trigger in ("journal_kept", "journal_whole", "transfer_end"):
            sql.execute(f"DROP TRIGGER {trigger}")
        for index in ("journal_one_debit", "journal_one_end"):
            sql.execute(f"DROP INDEX {index}")
        sql.execute("PRAGMA ignore_check_constraints = ON")
        for statement, values in statements:
            assert sql.execute(statement, values).rowcount != 0, "nothing was spoiled"

    return do


def rehash(world: World) -> None:
    """The last batch's hash, edited in the batch and in the anchor: only the gateway still knows."""
    with world.spoil("core") as sql:
        sql.execute(
            "UPDATE batch SET hash = %s WHERE (slot, seq) = (SELECT slot, seq FROM entry WHERE id = %s)",
            (bytes(32), attempt_of("unbooked")),
        )


def return_credited(world: World) -> None:
    """Credited, and returned as well."""
    with world.spoil("gateway") as sql:
        key, one = transfer_id(uetr_of("unbooked")), return_id(A, uetr_of("unbooked"))
        sql.execute("INSERT INTO payment_return VALUES (%s, %s, 'deadline_passed', 30000, NULL, false)", (key, one))
        sql.execute("UPDATE transfer SET status = 'RETURNED', reason = 'deadline_passed' WHERE id = %s", (key,))


def key_of(name: str) -> Any:
    return transfer_id(uetr_of(name))


def fee_id(name: str) -> Any:
    return member_id(attempt_of(name), 1)
