"""One transfer through every kind of trouble that the design names, step by step at random, and some by heart.

Hypothesis chooses the steps over `transfer_world.py`: messages lost, late, doubled and reordered, a core that is
skewed, short or unwilling, workers that crash or take over, commit replies lost, recalls, wrong clocks. After each
step and after healing the invariants are checked; their numbers are those of docs/invariants.md.
"""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from transfer_world import RETURN_AT_MS, VALID_UNTIL_MS, Message, Sender, World, recall

from hakika.domain.reasons import Reason
from hakika.domain.transfer import (
    ALL_NUMBERS,
    FINAL,
    FOR_PEOPLE_MS,
    BankAcknowledgedReturn,
    BankRefusedReturn,
    ClockReturnDue,
    CoreAnswered,
    CoreKnowsNoCredit,
    Outcome,
    SenderWroteNothing,
    Status,
    Verdict,
    status_of,
)

BEGINNINGS = ("", "claimed", "claimed written", "claimed taken", "claimed written taken")
INDEX = st.integers(0, 7)
FATES = st.sampled_from(["arrives", "arrives", "doubled", "lost"])
LOST = st.sampled_from([False, False, False, True])
OUTCOMES = st.sampled_from([Outcome.POSTED, Outcome.REFUSED, Outcome.BURNT])
UNWILLING = st.sampled_from([None, Reason.POSITION_SHORT, Reason.WALLET_UNKNOWN])


class TransferMachine(RuleBasedStateMachine):
    """Rules are what the world may do; it is never asked to do it in a sensible order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(
        reserved=st.booleans(), skew_ms=st.sampled_from([0, 0, -20_000, 4_000]), steps=st.sampled_from(BEGINNINGS)
    )
    def begin(self, reserved: bool, skew_ms: int, steps: str) -> None:
        """Most lives begin in the middle, where the trouble is."""
        self.world = World(reserved=reserved)
        self.world.core.skew_ms = skew_ms
        for step in steps.split():
            match step:
                case "claimed":
                    self.world.claim(reply_lost=False)
                case "written":
                    self.world.write(self.world.senders[0])
                case "taken":
                    self.world.take_over()

    # --- the gateway's processes ---

    @precondition(lambda self: status_of(self.world.transfer) in (Status.RECEIVED, Status.RESERVED))
    @rule(lost=LOST)
    def worker_claims(self, lost: bool) -> None:
        self.world.claim(reply_lost=lost)

    @precondition(lambda self: self._idle())
    @rule(index=INDEX)
    def sender_writes(self, index: int) -> None:
        self.world.write(self._idle()[index % len(self._idle())])

    @precondition(lambda self: self._idle())
    @rule(index=INDEX, lost=LOST)
    def sender_wrote_nothing(self, index: int, lost: bool) -> None:
        self.world.wrote_nothing(self._idle()[index % len(self._idle())], reply_lost=lost)

    @precondition(lambda self: self._idle())
    @rule(index=INDEX)
    def process_crashes(self, index: int) -> None:
        """Before it wrote anything; what it wrote does not come back."""
        self.world.senders.remove(self._idle()[index % len(self._idle())])

    @precondition(lambda self: 0 < self.world.leases_taken() < 4)
    @rule()
    def worker_takes_over(self) -> None:
        self.world.take_over()

    @precondition(lambda self: self.world.again)
    @rule(index=INDEX, lost=LOST, forgotten=LOST)
    def event_is_given_again(self, index: int, lost: bool, forgotten: bool) -> None:
        """The process repeats what it got no reply to, or crashes and forgets it."""
        event = self.world.again.pop(index % len(self.world.again))
        if not forgotten:
            self.world.give(event, reply_lost=lost)

    @precondition(lambda self: self.world.now_ms >= VALID_UNTIL_MS)
    @rule(lost=LOST)
    def return_is_due(self, lost: bool) -> None:
        self.world.give(ClockReturnDue(self.world.now_ms), reply_lost=lost)

    @precondition(lambda self: self.world.transfer.returned and self.world.transfer.returned.burn_due)
    @rule()
    def unsent_ids_are_burnt(self) -> None:
        self.world.burn_unsent()

    # --- a backup of the gateway's rows, and its restore ---

    @precondition(lambda self: len(self.world.copies) < 3)
    @rule()
    def somebody_makes_a_copy(self) -> None:
        self.world.copy()

    @precondition(lambda self: self.world.copies)
    @rule(index=INDEX)
    def gateway_is_restored(self, index: int) -> None:
        """The core, the wire and the bank remember what the copy does not know; later copies are of a lost life."""
        place = index % len(self.world.copies)
        self.world.restore(self.world.copies[place])
        del self.world.copies[place + 1 :]

    @precondition(lambda self: self.world.transfer.burn_first)
    @rule(crash_after=st.integers(0, 6))
    def every_id_is_burnt(self, crash_after: int) -> None:
        self.world.burn_all(crash_after=crash_after)

    # --- the wire and the core ---

    @precondition(lambda self: self.world.wire)
    @rule(index=INDEX, fate=FATES, unwilling=UNWILLING)
    def message_travels(self, index: int, fate: str, unwilling: Reason | None) -> None:
        place = index % len(self.world.wire)
        message = self.world.wire[place] if fate == "doubled" else self.world.wire.pop(place)
        if fate != "lost":
            self.world.core.refuses = unwilling
            self.world.core_executes(message)

    @precondition(lambda self: self.world.answers)
    @rule(index=INDEX, fate=FATES, lost=LOST)
    def answer_travels(self, index: int, fate: str, lost: bool) -> None:
        place = index % len(self.world.answers)
        answer = self.world.answers[place] if fate == "doubled" else self.world.answers.pop(place)
        if fate != "lost":
            self.world.answer_arrives(answer, reply_lost=lost)

    @precondition(lambda self: self.world.answered())
    @rule(index=INDEX, outcome=OUTCOMES)
    def answer_contradicts(self, index: int, outcome: Outcome) -> None:
        """About a closed attempt: same again, or a break; where it credits a dead id, all stops for people."""
        before = self.world.transfer
        closed = self.world.answered()
        attempt = closed[index % len(closed)]
        event = CoreAnswered(attempt.number, outcome, self.world.now_ms, Reason.WALLET_CLOSED)
        decision = self.world.give(event)
        credits_the_dead = outcome is Outcome.POSTED is not attempt.outcome and status_of(before) not in FINAL
        expected = replace(before, next_attempt_ms=FOR_PEOPLE_MS) if credits_the_dead else before
        assert decision.transfer == expected
        assert (decision.verdict is Verdict.CONTRADICTION) == (outcome is not attempt.outcome)

    # --- the bank and the clocks ---

    @precondition(lambda self: self.world.transfer.attempts and not self.world.transfer.recalled)
    @rule(lost=LOST)
    def bank_recalls(self, lost: bool) -> None:
        self.world.give(recall(), reply_lost=lost)

    @precondition(lambda self: self.world.told["return"])
    @rule(lost=LOST, books=st.booleans())
    def bank_answers_the_return(self, lost: bool, books: bool) -> None:
        if books:
            self.world.give(BankAcknowledgedReturn(self.world.now_ms), reply_lost=lost)
        else:
            assert self.world.give(BankRefusedReturn("no", self.world.now_ms)).verdict is Verdict.CONTRADICTION

    @rule(step_ms=st.sampled_from([1, 500, 3_000, 6_000, -500, -8_000]))
    def time_passes(self, step_ms: int) -> None:
        """Or the clock is set back."""
        self.world.now_ms = max(0, self.world.now_ms + step_ms)

    @invariant()
    def holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.heal()
        self.world.check()
        self.world.check_end()

    def _idle(self) -> list[Sender]:
        """Holders that have written nothing yet."""
        return [sender for sender in self.world.senders if not sender.wrote]


TransferMachine.TestCase.settings = settings(
    max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTransferMachine = TransferMachine.TestCase


# --- by heart: the counterexample to each rule, step by step ------------------------------------------------


def in_flight(*, written: bool = True) -> tuple[World, Sender]:
    """One attempt recorded and, if `written`, on the wire."""
    world = World()
    world.claim(reply_lost=False)
    if written:
        world.write(world.senders[0])
    return world, world.senders[0]


def finish(world: World) -> Status:
    """Heal and check everything."""
    world.check()
    world.heal()
    world.check()
    world.check_end()
    return status_of(world.transfer)


def test_silence_past_the_deadline_returns_nothing() -> None:
    """I-GW-2, I-GW-6: validity has passed and the promise too; the instruction may still be on its way."""
    world, _ = in_flight()
    world.core.skew_ms = -(10**6)  # the core's clock is far behind: validity bounds nothing there
    world.now_ms = 10 * RETURN_AT_MS
    assert world.give(ClockReturnDue(world.now_ms)).effects == ()
    world.check()
    world.core_executes(world.wire[0])
    assert finish(world) is Status.COMPLETED


def test_the_burn_decides_in_doubt() -> None:
    """I-GW-6: burnt means returned, and the instruction that arrives later moves nothing."""
    world, _ = in_flight()
    world.now_ms = VALID_UNTIL_MS
    taker = world.take_over()
    assert taker
    world.write(taker)
    assert world.wire[-1] == Message("burn", 1)
    world.core_executes(world.wire.pop())
    world.answer_arrives(world.answers.pop())
    assert status_of(world.transfer) is Status.RETURNED
    assert finish(world) is Status.RETURNED
    assert world.core.credits == 0


def test_already_posted_means_completed() -> None:
    world, _ = in_flight()
    world.core_executes(world.wire[0])
    world.answers.clear()
    world.now_ms = RETURN_AT_MS
    taker = world.take_over()
    assert taker
    world.write(taker)
    world.core_executes(world.wire.pop())
    world.answer_arrives(world.answers.pop())
    assert status_of(world.transfer) is Status.COMPLETED
    assert finish(world) is Status.COMPLETED


def test_not_sent_is_not_believed_after_a_takeover() -> None:
    """I-GW-9: the first holder wrote nothing, but whoever took over may have sent the same id by now."""
    world, first = in_flight(written=False)
    taker = world.take_over()
    assert taker
    world.write(taker)
    assert world.wrote_nothing(first, reply_lost=False).verdict is Verdict.RECORD_ONLY
    world.claim(reply_lost=False)  # would be the second open id, and the second credit
    assert finish(world) is Status.COMPLETED
    assert len(world.transfer.attempts) == 1


def test_not_sent_is_not_believed_of_the_one_who_took_over() -> None:
    """I-GW-9: the taker wrote nothing itself, but the first holder's bytes are on the wire."""
    world, _ = in_flight()
    taker = world.take_over()
    assert taker
    assert world.wrote_nothing(taker, reply_lost=False).verdict is Verdict.RECORD_ONLY
    world.claim(reply_lost=False)
    assert finish(world) is Status.COMPLETED
    assert len(world.transfer.attempts) == 1


def test_not_sent_said_twice_does_not_close_the_next_attempt() -> None:
    world, first = in_flight(written=False)
    world.wrote_nothing(first, reply_lost=True)
    world.claim(reply_lost=False)
    world.write(world.senders[0])
    world.give(world.again.pop())
    assert [attempt.outcome for attempt in world.transfer.attempts] == [Outcome.NOT_SENT, None]
    assert finish(world) is Status.COMPLETED


def test_a_resend_keeps_its_id() -> None:
    """I-GW-1, I-GW-7: while an id may live there is no other; claims in between change nothing."""
    world, _ = in_flight()
    for _ in range(3):
        world.claim(reply_lost=False)
        taker = world.take_over()
        assert taker
        world.write(taker)
    assert {message.number for message in world.written} == {1}
    assert finish(world) is Status.COMPLETED
    assert world.core.credits == 1


def test_nothing_is_sent_after_a_return() -> None:
    """I-GW-7: the clock steps back after the return was decided."""
    world = World()
    world.now_ms = RETURN_AT_MS
    world.give(ClockReturnDue(world.now_ms))
    world.now_ms = 0
    world.claim(reply_lost=False)
    assert world.transfer.attempts == ()
    assert finish(world) is Status.RETURNED


def test_one_return_whoever_asks() -> None:
    """I-GW-8: the clock and the bank ask at once, and each twice."""
    world = World()
    world.now_ms = RETURN_AT_MS
    for event in (ClockReturnDue(world.now_ms), recall(), ClockReturnDue(world.now_ms), recall()):
        world.give(event, reply_lost=True)
    assert world.recorded["DecideReturn"] == 1
    assert world.told == {"return": 1, "resolution": 1}
    assert finish(world) is Status.RETURNED


def test_recall_in_flight_waits_for_the_burn() -> None:
    for core_was_first in (True, False):
        world, _ = in_flight()
        if core_was_first:
            world.core_executes(world.wire[0])
        world.wire.clear()
        world.give(recall())
        assert status_of(world.transfer) is Status.IN_FLIGHT
        assert finish(world) is (Status.COMPLETED if core_was_first else Status.RETURNED)
        assert world.told["resolution"] == 1


def test_late_success_after_a_return_is_a_break() -> None:
    """Law 1: only a restore or a bug can cause it; it is told, and nothing moves by itself."""
    world, _ = in_flight()
    world.now_ms = VALID_UNTIL_MS
    world.core.stored[1] = (Outcome.BURNT, None)
    world.answer_arrives((1, Outcome.BURNT, None))
    decision = world.give(CoreAnswered(1, Outcome.POSTED, world.now_ms))
    assert decision.verdict is Verdict.CONTRADICTION
    assert decision.transfer == world.transfer
    assert status_of(world.transfer) is Status.RETURNED


def restored(*, life: str) -> World:
    """A copy of the held transfer; then a whole `life` that the copy knows nothing of; then the restore."""
    world = World()
    world.copy()
    world.claim(reply_lost=False)
    if life == "refused, then credited":
        world.core.stored[1] = (Outcome.REFUSED, Reason.POSITION_SHORT)
        world.answer_arrives((1, Outcome.REFUSED, Reason.POSITION_SHORT))
        world.now_ms = world.transfer.next_attempt_ms
        world.transfer = replace(world.transfer, deadlines=replace(world.transfer.deadlines, valid_until_ms=10**6))
        world.claim(reply_lost=False)
        world.now_ms = 0
    if life != "returned unsent":
        world.write(world.senders[-1])
    if "credited" in life:
        world.core_executes(world.wire.pop())
        world.answer_arrives(world.answers.pop())
    if life == "returned unsent":
        world.wrote_nothing(world.senders[0], reply_lost=False)
        world.give(recall())
    world.restore(world.copies[0])
    world.check()
    return world


def test_credited_before_a_restore_is_completed_after_it() -> None:
    """I-GW-10: the attempts that the copy lacks are recorded again, in order, up to the one that was credited."""
    for life, outcomes in (
        ("credited", [Outcome.POSTED]),
        ("refused, then credited", [Outcome.REFUSED, Outcome.POSTED]),
    ):
        world = restored(life=life)
        world.burn_all()
        assert [attempt.outcome for attempt in world.transfer.attempts] == outcomes
        assert finish(world) is Status.COMPLETED
        assert world.heard == {"final"}
        assert world.core.credits == 1


def test_nothing_is_sent_after_a_restore_until_all_ids_are_burnt() -> None:
    """I-GW-10: not by a claim, not by the clock, not by a recall; and what was on its way finds its id dead."""
    world = restored(life="sent")
    world.claim(reply_lost=False)
    world.now_ms = 10 * RETURN_AT_MS
    world.give(ClockReturnDue(world.now_ms))
    world.give(recall())
    assert status_of(world.transfer) is Status.RECEIVED
    assert world.transfer.attempts == ()
    world.check()
    world.burn_all()
    assert status_of(world.transfer) is Status.RETURNED
    world.core_executes(world.wire.pop())
    assert finish(world) is Status.RETURNED
    assert world.core.credits == 0
    assert world.told == {"return": 1, "resolution": 1}


def test_returned_before_a_restore_is_returned_after_it() -> None:
    world = restored(life="returned unsent")
    world.burn_all()
    assert finish(world) is Status.RETURNED
    assert world.heard == {"return"}


def test_an_attempt_left_open_by_a_crash_after_a_restore_is_never_instructed() -> None:
    """I-GW-10: recorded again, and the process died before its answer was stored: whoever takes it over burns."""
    world = restored(life="credited")
    world.burn_all(crash_after=1)
    assert status_of(world.transfer) is Status.IN_FLIGHT
    taker = world.take_over()
    assert taker
    world.write(taker)
    assert world.wire[-1] == Message("burn", 1)
    assert finish(world) is Status.COMPLETED


def test_fewer_than_all_answers_return_nothing_after_a_restore() -> None:
    """I-GW-10: 63 dead ids and one of which nothing is known: the money stays where it is."""
    world = restored(life="credited")
    world.give(CoreKnowsNoCredit(ALL_NUMBERS - {1}, world.now_ms))
    assert status_of(world.transfer) is Status.RECEIVED
    assert finish(world) is Status.COMPLETED


@pytest.mark.parametrize("first", [recall(), ClockReturnDue(RETURN_AT_MS), SenderWroteNothing(1, 1, 0)], ids=repr)
def test_every_lost_reply_is_settled_by_the_same_event(first: object) -> None:
    world, _ = in_flight(written=False)
    once = world.give(first)  # type: ignore[arg-type]
    twice = world.give(first)  # type: ignore[arg-type]
    assert twice.effects == ()
    assert twice.transfer == once.transfer
    assert finish(world) in FINAL
