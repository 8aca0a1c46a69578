"""One transfer of every kind of life, over sound books of everybody: what `hakika verify` must find nothing in."""

from collections.abc import Callable
from uuid import UUID

from checker_books import WALLETS, World, an_id, fee_of, transfer_id

from hakika.ids import attempt_id

AMOUNT = 1_500_00
SMALL = 50_00
A = "bank-a"


def uetr_of(name: str) -> UUID:
    """The UETR of a life by its name."""
    return an_id(f"uetr {name}")


def attempt_of(name: str, number: int = 1, bank: str = A) -> UUID:
    """The id of one of its attempts."""
    return attempt_id(bank, uetr_of(name), number)


def custody(world: World, name: str, *, bank: str = A, amount: int = AMOUNT, receipt: bool = True) -> UUID:
    """Debited and taken into custody."""
    uetr = uetr_of(name)
    world.banks[bank].debit(uetr, amount, WALLETS[0])
    world.gateway.take(bank, uetr, amount, WALLETS[0])
    if receipt:
        world.banks[bank].accept(uetr)
    return uetr


def completed(
    world: World, name: str, *, bank: str = A, amount: int = AMOUNT, number: int = 1, booked: bool = True
) -> None:
    """Credited by attempt `number`; earlier ones are there already."""
    uetr = uetr_of(name) if number > 1 else custody(world, name, bank=bank, amount=amount)
    attempt = world.gateway.attempt(bank, uetr, number)
    world.gateway.close(attempt, "posted", world.core.credit(attempt, bank, WALLETS[0], amount))
    world.gateway.status(uetr, "COMPLETED", fee=fee_of(amount) or None)
    world.gateway.tell(bank, uetr, "final", settled=booked)
    if booked:
        world.banks[bank].end(uetr, "completed")


def after_refusal(world: World, name: str) -> None:
    """The bank's position was short, the second attempt was posted."""
    uetr = custody(world, name)
    attempt = world.gateway.attempt(A, uetr, 1)
    world.gateway.close(attempt, "refused", world.core.refuse(attempt, A, AMOUNT, "position_short"), "position_short")
    world.gateway.status(uetr, "RECEIVED")
    world.gateway.tell(A, uetr, "held", settled=True)
    completed(world, name, number=2)


def after_nothing_written(world: World, name: str) -> None:
    """The first attempt was never sent, the second was posted."""
    uetr = custody(world, name)
    world.gateway.close(world.gateway.attempt(A, uetr, 1), "not_sent", None)
    world.gateway.status(uetr, "RECEIVED")
    completed(world, name, number=2)


def burnt(world: World, name: str) -> None:
    """In doubt, burnt, returned."""
    uetr = custody(world, name)
    attempt = world.gateway.attempt(A, uetr, 1)
    world.gateway.close(attempt, "burnt", world.core.burn(attempt))
    world.gateway.give_back(A, uetr, "deadline_passed")
    world.banks[A].end(uetr, "returned")


def refused(world: World, name: str) -> None:
    """Refused by the core, returned."""
    uetr = custody(world, name)
    attempt = world.gateway.attempt(A, uetr, 1)
    world.gateway.close(attempt, "refused", world.core.refuse(attempt, A, AMOUNT, "wallet_unknown"), "wallet_unknown")
    world.gateway.give_back(A, uetr, "wallet_unknown")
    world.banks[A].end(uetr, "returned")


def unsent(world: World, name: str) -> None:
    """Never attempted, returned by the clock, its first id burnt since."""
    uetr = custody(world, name)
    world.gateway.give_back(A, uetr, "deadline_passed")
    world.core.burn(attempt_of(name))
    world.banks[A].end(uetr, "returned")


def unsent_owed(world: World, name: str) -> None:
    """Never attempted; the return is not acknowledged, the burn still due."""
    uetr = custody(world, name)
    world.gateway.give_back(A, uetr, "deadline_passed", burn_due=True, acknowledged=False)


def recalled(world: World, name: str) -> None:
    """Recalled by its bank while it was held."""
    uetr = custody(world, name)
    world.gateway.sql.execute("INSERT INTO recall VALUES (%s, 'C1', %s, 'A1', 'DUPL', 12000)", (A, uetr))
    world.gateway.sql.execute(
        "UPDATE transfer SET recalled_reason = 'recalled_by_bank' WHERE id = %s", (transfer_id(uetr),)
    )
    world.gateway.give_back(A, uetr, "recalled_by_bank")
    world.gateway.tell(A, uetr, "resolution", settled=True)
    world.core.burn(attempt_of(name))
    world.banks[A].end(uetr, "returned")


def held(world: World, name: str) -> None:
    """In custody, not attempted yet."""
    custody(world, name)


def receipt_lost(world: World, name: str) -> None:
    """In custody, and its bank does not know yet."""
    custody(world, name, receipt=False)


def in_flight(world: World, name: str) -> None:
    """Sent, no answer known, nothing in the core."""
    world.gateway.attempt(A, custody(world, name), 1)


def in_doubt(world: World, name: str) -> None:
    """Sent, no answer known, posted in the core."""
    in_flight(world, name)
    world.core.credit(attempt_of(name), A, WALLETS[0], AMOUNT)


def tombstone(world: World, name: str) -> None:
    """Recalled before it arrived; its bank, too, has never heard of it."""
    world.gateway.reject(A, uetr_of(name))


def debited(world: World, name: str) -> None:
    """Debited, not handed over yet."""
    world.banks[A].debit(uetr_of(name), AMOUNT, WALLETS[0])


def rejected(world: World, name: str) -> None:
    """Refused by its bytes alone: the gateway wrote nothing, the bank gave it back."""
    debited(world, name)
    world.banks[A].end(uetr_of(name), "rejected")


def tombstoned(world: World, name: str) -> None:
    """Met a tombstone, was refused, and was given back."""
    tombstone(world, name)
    rejected(world, name)


LIVES: dict[str, Callable[[World, str], None]] = {
    "completed": completed,
    "small": lambda world, name: completed(world, name, amount=SMALL),
    "other_bank": lambda world, name: completed(world, name, bank="bank-b"),
    "unbooked": lambda world, name: completed(world, name, booked=False),
    "after_refusal": after_refusal,
    "after_nothing_written": after_nothing_written,
    "burnt": burnt,
    "refused": refused,
    "unsent": unsent,
    "unsent_owed": unsent_owed,
    "recalled": recalled,
    "held": held,
    "receipt_lost": receipt_lost,
    "in_flight": in_flight,
    "in_doubt": in_doubt,
    "tombstone": tombstone,
    "debited": debited,
    "rejected": rejected,
    "tombstoned": tombstoned,
}
FINISHED = (
    "completed", "small", "other_bank", "after_refusal", "after_nothing_written", "burnt", "refused", "unsent",
    "recalled", "tombstone", "rejected", "tombstoned",
)  # fmt: skip


def live(world: World, *names: str) -> None:
    """Live these lives, an anchor in the middle and the last ones in another chain."""
    core = world.core
    for number, name in enumerate(names):
        if number == len(names) // 2:
            anchor = core.anchor(1)
            core.slot = 3
        LIVES[name](world, name)
    _reservations(world)
    core.anchor(2, anchor)


def _reservations(world: World) -> None:
    """The operator's own entries: reserved and posted in part, reserved and released, reserved still."""
    core = world.core
    one, two = core.wallets[WALLETS[1]], core.wallets[WALLETS[2]]
    core.move("gift", core.settlement, one, 900)
    for name, kind, amount in (("r1", "post", 60), ("r2", "void", 100), ("r3", "", 0)):
        core.move(name, one, two, 100, kind="pending")
        if kind:
            core.move(f"end of {name}", one, two, amount, kind=kind, pending_id=an_id(name).bytes)
