"""A gateway on a copy of an earlier moment: everything that the copy knows without an end is resolved by burning.

Two databases stand for the two lives: the copy, and the one that was lost, which goes on from the same transfers with
the same core and bank. Then the copy's incarnation is raised and its workers run. Whatever the lost life did, each
transfer ends the same way in the copy; nothing is sent to the wallet again, and nothing ends twice (I-GW-10).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from gateway_desk_kit import ANSWER_S, HOLDER, Gateway, credit, message, recall_of
from gateway_kit import Templates
from gateway_workers_kit import ENDED, OddCore, Works, reconciled, shorten

from hakika import clock
from hakika.domain.reasons import Reason
from hakika.domain.transfer import (
    ATTEMPTS_MAX,
    BankRecalled,
    ClockReturnDue,
    CoreAnswered,
    CoreKnowsAttempt,
    Event,
    Outcome,
    SenderWroteNothing,
    WorkerClaimed,
)
from hakika.ids import attempt_id
from hakika.services.gateway.incarnation import raise_incarnation
from hakika.services.gateway.intake import BANK_CLOCK_MS, Custody
from hakika.services.gateway.transfers import Happened
from hakika.store.gateway.transfers import Evidence
from hakika.wire.core_api import Answer
from hakika.wire.iso20022.messages import CreditTransfer
from hakika.workers import restored

EVIDENCE = Evidence(2, 0, 7, bytes(1))
FAR_MS = 10**9
SHORT, CLOSED = Reason.POSITION_SHORT, Reason.WALLET_CLOSED


@pytest.fixture
async def lost(templates: Templates, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """The life that the copy knows nothing of."""
    shorten(monkeypatch)
    database = templates.copy("gateway")
    async with Gateway.open(database) as running:
        yield running
    templates.drop(database)


@pytest.fixture
async def copy(lost: Gateway, templates: Templates) -> AsyncIterator[Gateway]:
    """The database that is put back."""
    database = templates.copy("gateway")
    async with Gateway.open(database) as running:
        yield running
    templates.drop(database)


def refused(number: int, reason: Reason) -> CoreAnswered:
    return CoreAnswered(number, Outcome.REFUSED, clock.now_ms(), reason, scale=FAR_MS)


def posted(number: int) -> CoreAnswered:
    return CoreAnswered(number, Outcome.POSTED, clock.now_ms(), fee_minor=5)


def claimed() -> WorkerClaimed:
    return WorkerClaimed(clock.now_ms() + 1)


def recalled() -> BankRecalled:
    return BankRecalled(Reason.RECALLED_BY_BANK, clock.now_ms())


Steps = list[Callable[[], Event]]
# What a transfer had lived through when the copy was made, what the lost life did after that, and how it must end.
LIVES: dict[str, tuple[Steps, Steps, str]] = {
    "untouched": ([], [], "RETURNED"),
    "credited": ([], [claimed, lambda: posted(1)], "COMPLETED"),
    "credited in the second attempt": (
        [], [claimed, lambda: refused(1, SHORT), claimed, lambda: posted(2)], "COMPLETED"),
    "refused": ([], [claimed, lambda: refused(1, CLOSED)], "RETURNED"),
    "returned by the clock": ([], [lambda: ClockReturnDue(clock.now_ms() + FAR_MS)], "RETURNED"),
    "recalled": ([], [recalled], "RETURNED"),
    "not sent": ([], [claimed, lambda: SenderWroteNothing(1, 1, clock.now_ms())], "RETURNED"),
    "in flight, credited": ([claimed], [lambda: posted(1)], "COMPLETED"),
    "in flight, refused, then credited": (
        [claimed], [lambda: refused(1, SHORT), claimed, lambda: posted(2)], "COMPLETED"),
    "in flight, refused": ([claimed], [lambda: refused(1, CLOSED)], "RETURNED"),
    "in flight, in doubt": ([claimed], [], "RETURNED"),
    "recalled in flight, credited": ([claimed, recalled], [lambda: posted(1)], "COMPLETED"),
    "held after a refusal, credited": (
        [claimed, lambda: refused(1, SHORT)], [claimed, lambda: posted(2)], "COMPLETED"),
    "held, nothing written, credited": (
        [claimed, lambda: SenderWroteNothing(1, 1, clock.now_ms())], [claimed, lambda: posted(2)], "COMPLETED"),
}  # fmt: skip


async def live(gateway: Gateway, core: OddCore, transfer: CreditTransfer, key: UUID, steps: Steps) -> None:
    """The steps of a life, and what the core remembers of them."""
    for step in steps:
        event = step()
        if isinstance(event, CoreAnswered):
            one = attempt_id("bank-a", transfer.uetr, event.number).hex
            core.stored.setdefault(one, (event.outcome.value, event.reason.value if event.reason else None))
            if event.outcome is Outcome.POSTED:
                core.credits.append(one)
        await gateway.desk.apply(Happened(key, event, EVIDENCE), deadline_s=ANSWER_S)


async def two_lives(copy: Gateway, lost: Gateway, core: OddCore, names: list[str]) -> dict[UUID, str]:
    """Every named life in both databases; its name by its UETR."""
    found = {}
    for name in names:
        before, after, _ = LIVES[name]
        transfer = credit()
        for gateway, steps in ((copy, before), (lost, [*before, *after])):
            (key,) = await gateway.custody(transfer)
            await live(gateway, core, transfer, key, steps)
        found[transfer.uetr] = name
    return found


async def ended_right(copy: Gateway, lives: dict[UUID, str]) -> None:
    for uetr, status in await copy.rows("SELECT uetr, status FROM transfer"):
        assert status == LIVES[lives[uetr]][2], lives[uetr]


async def test_every_life_ends_as_it_had_to(copy: Gateway, lost: Gateway) -> None:
    core = OddCore()
    lives = await two_lives(copy, lost, core, list(LIVES))
    assert await raise_incarnation(copy.database.owner_url, "test") == (2, len(LIVES))
    async with Works.running(copy, core) as works:
        await works.until(ENDED, len(LIVES))
        await reconciled(works)
    await ended_right(copy, lives)
    assert core.instructed == []
    known = dict(await lost.rows("SELECT uetr, return_id FROM transfer t JOIN payment_return r ON r.transfer = t.id"))
    for uetr, return_id in await copy.rows(
        "SELECT uetr, return_id FROM transfer t JOIN payment_return r ON r.transfer = t.id"
    ):
        assert known.get(uetr, return_id) == return_id
    for uetr, reason in await copy.rows("SELECT uetr, reason FROM transfer WHERE status = 'RETURNED'"):
        assert reason == Reason.GATEWAY_RESTORED, lives[uetr]
    assert await copy.rows("SELECT kind FROM outbox WHERE kind = 'resolution'") == [("resolution",)]
    for name in ("credited", "credited in the second attempt"):
        (uetr,) = (one for one, life in lives.items() if life == name)
        attempts = await copy.rows(
            "SELECT count(*) FROM attempt a JOIN transfer t ON t.id = transfer WHERE uetr = %s", uetr
        )
        assert attempts == [(1 if name == "credited" else 2,)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_again_and_again_while_it_burns(copy: Gateway, lost: Gateway, seed: int) -> None:
    """Two processes that die at any moment, and answers that are lost: the next one goes on from the rows."""
    chance, core = random.Random(seed), OddCore()
    lives = await two_lives(copy, lost, core, list(LIVES) * 3)
    await raise_incarnation(copy.database.owner_url, "test")
    core.trouble = lambda: chance.choice(["", "", "", "", "answer lost", "lost", "unreachable"])
    for _ in range(12):
        async with Works.running(copy, core), Works.running(copy, core):
            await asyncio.sleep(chance.uniform(0.02, 0.3))
    core.trouble = lambda: ""
    async with Works.running(copy, core) as works:
        await works.until(ENDED, len(lives))
        await reconciled(works)
    await ended_right(copy, lives)
    assert core.instructed == []


async def test_with_one_answer_missing_nothing_ends(copy: Gateway, lost: Gateway) -> None:
    """All ids or nothing: also past the deadline, also recalled; and when the answer comes, it decides."""
    core = OddCore()
    lives = await two_lives(copy, lost, core, ["untouched", "credited"])
    await raise_incarnation(copy.database.owner_url, "test")
    missing = {attempt_id("bank-a", uetr, ATTEMPTS_MAX).hex for uetr in lives}
    core.alter = lambda answer: Answer(answer.id, "conflict") if answer.id in missing else answer
    await copy.acts.recall("bank-a", recall_of(next(iter(lives))))
    async with Works.running(copy, core) as works:
        await works.until("SELECT count(*) FROM transfer WHERE status = 'RECEIVED'", 2)
        await asyncio.sleep(1.0)
        now_ms = clock.now_ms() + FAR_MS
        for (key,) in await copy.rows("SELECT id FROM transfer"):
            await copy.desk.apply(Happened(key, ClockReturnDue(now_ms)), deadline_s=ANSWER_S)
        assert await copy.number(ENDED) == 0
        core.alter = lambda answer: answer
        await works.until(ENDED, 2)
        await reconciled(works)
    await ended_right(copy, lives)
    assert await copy.rows("SELECT reason FROM transfer WHERE status = 'RETURNED'") == [("recalled_by_bank",)]


async def test_more_than_a_page(copy: Gateway, lost: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot be decided keeps nobody waiting."""
    monkeypatch.setattr(restored, "PAGE", 3)
    core = OddCore()
    lives = await two_lives(copy, lost, core, ["untouched", "credited"] * 10)
    await raise_incarnation(copy.database.owner_url, "test")
    odd = attempt_id("bank-a", next(iter(lives)), 9).hex
    core.alter = lambda answer: Answer(answer.id, "conflict") if answer.id == odd else answer
    async with Works.running(copy, core) as works:
        await works.until(ENDED, 19)
        core.alter = lambda answer: answer
        await works.until(ENDED, 20)
        await reconciled(works)


async def test_a_restored_core_is_driven_again_before_anything_is_burnt(copy: Gateway, lost: Gateway) -> None:
    """Both were restored: the core first hears what we know."""
    core = OddCore(redriven_incarnation=1)
    lives = await two_lives(copy, lost, core, ["untouched", "credited", "in flight, credited"])
    await raise_incarnation(copy.database.owner_url, "test")
    async with Works.running(copy, core) as works:
        await works.until("SELECT count(*) FROM core_incarnation WHERE redriven_ms IS NOT NULL", 1)
        await works.until(ENDED, 3)
        await reconciled(works)
    await ended_right(copy, lives)


async def test_two_credits_under_two_ids_are_a_break(copy: Gateway, lost: Gateway) -> None:
    """It cannot be; were it so, it would be said."""
    core = OddCore()
    lives = await two_lives(copy, lost, core, ["credited"])
    core.stored[attempt_id("bank-a", next(iter(lives)), 5).hex] = ("posted", None)
    await raise_incarnation(copy.database.owner_url, "test")
    async with Works.running(copy, core) as works:
        await works.until("SELECT count(*) FROM reconciliation_break WHERE kind = 'completed_but_posted'", 1)
    await ended_right(copy, lives)


# --- the raise, and what comes after it ---------------------------------------------------------------------


async def test_a_raise_marks_what_has_no_end_and_nothing_else(copy: Gateway, lost: Gateway) -> None:
    await two_lives(lost, copy, OddCore(), ["credited", "refused", "in flight, in doubt", "untouched"])
    assert await raise_incarnation(copy.database.owner_url, "copy of 02:00") == (2, 2)
    assert await raise_incarnation(copy.database.owner_url, "again") == (3, 0)
    rows = await copy.rows("SELECT status, burn_first FROM transfer ORDER BY status")
    assert rows == [("COMPLETED", False), ("IN_FLIGHT", True), ("RECEIVED", True), ("RETURNED", False)]
    reasons = await copy.rows("SELECT reason FROM incarnation ORDER BY number")
    assert reasons == [("created",), ("copy of 02:00",), ("again",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await raise_incarnation(copy.database.app_url, "by the application")


async def test_what_may_be_older_than_the_restore_is_marked_when_it_comes(copy: Gateway) -> None:
    """Up to the raise and a bank's clock; in whatever currency, because it may have been served then."""
    now_ms = clock.now_ms()
    async with Gateway.open(copy.database, holder=HOLDER, restored_ms=now_ms) as gateway:
        edge_ms = now_ms + BANK_CLOCK_MS
        arrivals: list[Any] = [
            message(credit(end_to_end_id="old"), created_ms=now_ms - FAR_MS),
            message(credit(end_to_end_id="edge"), created_ms=edge_ms),
            message(credit(end_to_end_id="new"), created_ms=edge_ms + 1),
            message(credit(end_to_end_id="old UGX", currency="UGX"), created_ms=now_ms),
            message(credit(end_to_end_id="new UGX", currency="UGX"), created_ms=edge_ms + 1),
        ]
        for arrival in arrivals:
            assert isinstance(await gateway.intake.take(arrival, deadline_s=ANSWER_S), Custody)
        rows = await gateway.rows("SELECT end_to_end_id, status, burn_first FROM transfer ORDER BY 1")
    assert rows == [
        ("edge", "RECEIVED", True), ("new", "RECEIVED", False), ("new UGX", "REJECTED", False),
        ("old", "RECEIVED", True), ("old UGX", "RECEIVED", True),
    ]  # fmt: skip


async def test_what_a_bank_sends_again_ends_as_it_had_to(copy: Gateway, lost: Gateway) -> None:
    """The copy has never heard of it: custody as always, then the burn; one receipt for all copies of the message."""
    core, transfers = OddCore(), {name: credit() for name in ("credited", "refused", "untouched")}
    for name, transfer in transfers.items():
        (key,) = await lost.custody(transfer)
        await live(lost, core, transfer, key, LIVES[name][1])
    await raise_incarnation(copy.database.owner_url, "test")
    async with Gateway.open(copy.database, restored_ms=clock.now_ms()) as gateway:
        await gateway.custody(*transfers.values())
        async with Works.running(gateway, core) as works:
            await works.until(ENDED, 3)
            await reconciled(works)
        for name, transfer in transfers.items():
            assert await gateway.rows("SELECT status FROM transfer WHERE uetr = %s", transfer.uetr) == [
                (LIVES[name][2],)
            ]
    assert core.instructed == []


async def test_a_recall_of_an_unknown_id_refuses_nothing_after_a_restore(copy: Gateway, lost: Gateway) -> None:
    """No tombstone: the transfer may be in the wallet, and a refusal would have its bank pay a second time."""
    core, transfer = OddCore(), credit()
    (key,) = await lost.custody(transfer)
    await live(lost, core, transfer, key, LIVES["credited"][1])
    await raise_incarnation(copy.database.owner_url, "test")
    async with Gateway.open(copy.database, restored_ms=clock.now_ms()) as gateway:
        assert (await gateway.acts.recall("bank-a", recall_of(transfer.uetr))).status is None
        assert await gateway.number("SELECT count(*) FROM transfer") == 0
        assert await gateway.number("SELECT count(*) FROM recall") == 0
        await gateway.custody(transfer)
        assert (await gateway.acts.recall("bank-a", recall_of(transfer.uetr))).status == "PDCR"
        async with Works.running(gateway, core) as works:
            await works.until("SELECT count(*) FROM transfer WHERE status = 'COMPLETED'", 1)
        assert (await gateway.acts.recall("bank-a", recall_of(transfer.uetr, "CXL-2"))).status == "RJCR"


async def test_what_the_copy_lacks_is_recorded_only_after_a_restore(copy: Gateway) -> None:
    (key,) = await copy.custody(credit())
    await copy.desk.apply(Happened(key, CoreKnowsAttempt(1)), deadline_s=ANSWER_S)
    assert await copy.number("SELECT count(*) FROM attempt") == 0
