"""Faults on command: each is drawn from a seeded source, and none of them moves money twice."""

from uuid import UUID

import httpx2
import pytest
from bank_harness import ScriptedGateway, StartBank, until

from hakika.counterparties.faults import Chance, CrashAt, Faults, FaultSet, FaultsRefused
from hakika.counterparties.window import PAUSE_MAX_S, WINDOW_MIN, Window, backoff_s


async def all_accepted(bank: object, count: int) -> None:
    books = bank.books()  # type: ignore[attr-defined]
    await until(lambda: list(books.states().values()) == ["accepted"] * count, "all accepted")


SENDING_FAULTS: tuple[dict[str, object], ...] = (
    {"lose_answers": {"count": 2}},
    {"late_answers_ms": {"ms": 400, "count": 3}},
    {"send_twice": 1.0},
    {"lose_answers": 0.4, "send_twice": 0.5, "late_answers_ms": {"ms": 50, "probability": 0.5}},
)


@pytest.mark.process
async def test_answers_lost_late_or_doubled(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank()
    for round_number, faults in enumerate(SENDING_FAULTS):
        await bank.command(**faults)
        before = sum(gateway.sendings.values())
        for number in range(6):
            await bank.pay(f"r{round_number}-{number}", amount_minor=1000)
        await all_accepted(bank, 6 * (round_number + 1))
        assert sum(gateway.sendings.values()) - before > 6, faults
    assert len(gateway.bodies) == 24
    assert bank.books().balance("in_transit") == 24_000
    assert bank.books().rows("SELECT * FROM contradiction") == []


@pytest.mark.process
async def test_a_callback_that_is_booked_and_never_answered(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank()
    uetr = UUID((await bank.pay("r1"))["uetr"])
    await all_accepted(bank, 1)
    await bank.command(callback_no_answer={"count": 1})
    body = gateway.completion(uetr)
    with pytest.raises(httpx2.TimeoutException):
        headers = {**dict(gateway.signed(200, body).headers), "content-type": "application/xml"}
        await bank.client.post("/iso20022", content=body, headers=headers, timeout=0.5)
    assert bank.books().states() == {"r1": "completed"}
    assert await bank.push(body) == 204
    assert bank.books().balance("position_mirror") == 50_000


@pytest.mark.process
async def test_a_bank_that_cannot_be_reached_when_a_return_is_due(
    gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    bank = await start_bank()
    uetr = UUID((await bank.pay("r1"))["uetr"])
    await all_accepted(bank, 1)
    await bank.command(unreachable_s=60)
    body = gateway.money_back(uetr, "RTR-1")
    with pytest.raises(httpx2.TimeoutException):
        headers = {**dict(gateway.signed(200, body).headers), "content-type": "application/xml"}
        await bank.client.post("/iso20022", content=body, headers=headers, timeout=0.3)
    assert (await bank.pay("r2"))["result"] == "debited"  # its own counters stay open
    assert bank.books().states() == {"r1": "accepted", "r2": "debited"}
    await bank.command()
    assert await bank.push(body) == 204
    await until(lambda: gateway.acknowledged == {"RTR-1": True}, "acknowledged")
    await until(lambda: bank.books().states() == {"r1": "returned", "r2": "accepted"}, "sent after the cut")


@pytest.mark.process
async def test_sigterm_ends_it_in_order_even_with_a_silent_callback(
    gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    bank = await start_bank()
    await bank.command(unreachable_s=60)
    with pytest.raises(httpx2.TimeoutException):
        await bank.client.post("/iso20022", content=b"x", timeout=0.1)
    assert await bank.stop() == 0


@pytest.mark.process
async def test_a_storm_of_inquiries_minds_no_leash_and_moves_no_money(
    gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    bank = await start_bank(style="sends_throughout")
    uetrs = [UUID((await bank.pay(f"r{number}"))["uetr"]) for number in range(3)]
    await all_accepted(bank, 3)
    leashed = [gateway.signed(429, b"", retry_after="60") for _ in range(2000)]
    gateway.inquiry_answers += leashed
    await bank.command(polls_times=50)
    await until(lambda: len(gateway.inquiries) >= 60, "a storm")  # mannerly: one after 90 s, and then rest for 60
    assert {inquiry.uetr for inquiry in gateway.inquiries} == set(uetrs)
    assert set(bank.books().states().values()) == {"accepted"}
    assert await bank.push(gateway.completion(uetrs[0])) == 204
    await bank.command()
    before = len(gateway.inquiries)
    await until(lambda: bank.books().balance("position_mirror") > 0, "money moves in a storm")
    assert len(gateway.inquiries) - before <= 12 + 3  # what was under way, and no more
    gateway.inquiry_answers.clear()


def test_the_same_seed_draws_the_same() -> None:
    def drawn() -> list[bool]:
        faults = Faults(7)
        faults.replace(FaultSet(lose_answers=0.5))
        return [faults.loses_answer() for _ in range(64)]

    first = drawn()
    assert first == drawn() and 10 < sum(first) < 54


def test_a_count_is_used_up_and_a_new_set_replaces_the_old() -> None:
    faults = Faults(1)
    faults.replace(FaultSet(lose_answers=Chance(count=2), callback_late_ms=250, unreachable_s=5))
    assert [faults.loses_answer() for _ in range(4)] == [True, True, False, False]
    assert faults.callback_delay_s() == 0.25 and faults.unreachable_for_s() > 4
    faults.replace(FaultSet())
    assert faults.callback_delay_s() == 0 and faults.unreachable_for_s() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        FaultSet(lose_answers=-0.1),
        FaultSet(lose_answers=Chance(probability=0.5, count=1)),
        FaultSet(lose_answers=Chance(ms=5)),
        FaultSet(late_answers_ms=Chance(probability=0.5)),
        FaultSet(send_twice=Chance(count=-1)),
        FaultSet(unreachable_s=-1),
        FaultSet(polls_times=0.5),
        FaultSet(polls_times=1e6),
        FaultSet(crash_at=CrashAt("before_send", nth=0)),
        FaultSet(crash_at="somewhere"),
    ],
)
def test_a_wrong_command_leaves_the_faults_in_force(wrong: FaultSet) -> None:
    faults = Faults(1)
    faults.replace(FaultSet(send_twice=1.0))
    with pytest.raises(FaultsRefused):
        faults.replace(wrong)
    assert faults.sends_twice()


def test_the_environment_names_a_crash_point_or_nothing() -> None:
    Faults(1, crash_at="before_send:3").crash_point("before_send")  # the first passing is survived
    with pytest.raises(FaultsRefused):
        Faults(1, crash_at="before_lunch")
    with pytest.raises(FaultsRefused):
        Faults(1, crash_at="before_send:x")


def test_the_window_shrinks_at_the_first_doubt_and_opens_with_answers() -> None:
    window = Window(32)
    window.unanswered(10.0, None)
    assert window.size == 16 and window.paused_until_s > 10.0
    for _ in range(20):
        window.unanswered(10.0, None)
    assert window.size == WINDOW_MIN and window.paused_until_s <= 10.0 + PAUSE_MAX_S
    assert window.answered() and not window.answered()
    for _ in range(40):
        window.answered()
    assert window.size == 32 and window.paused_until_s == 0
    window.unanswered(10.0, 7.0)
    assert window.paused_until_s == 17.0


def test_one_message_rests_longer_each_time_up_to_a_bound() -> None:
    rests = [backoff_s(tries) for tries in range(1, 30)]
    assert rests == sorted(rests) and rests[0] == 0.2 and rests[-1] == 10.0
