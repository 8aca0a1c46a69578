"""A transfer's rules as complete tables: what its facts mean, and what each event does in each status.

The first table lists every combination of the five facts that decide the status; the second lists, for each
status and each kind of event, the verdict, the effects and the status afterwards. A combination without a row
fails, so a new status, event or outcome cannot come in without a decision about it (I-GW-3, I-GW-4).
"""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import product
from typing import get_args

import pytest
from transfer_rows import RESOLVED, RESTORED_ROWS, Row, against, back, broken, close, credited, same
from transfer_states import (
    AFTER,
    BEFORE,
    CLOSING,
    LATE,
    RECALL,
    SHORT,
    STATES,
    UNKNOWN,
    acknowledged,
    burnt,
    claimed,
    due,
    held,
    knows,
    no_credit,
    posted,
    recalled,
    refused,
    return_refused,
    wrote_nothing,
)

from hakika.domain import transfer as rules
from hakika.domain.deadlines import Deadlines
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.domain.transfer import (
    EVENTS,
    FINAL,
    MOVES,
    AcknowledgeReturn,
    Attempt,
    BurnDone,
    CoreAnswered,
    Effect,
    Event,
    HoldUntil,
    NoteRecall,
    OpenBreak,
    Outcome,
    RecordAttempt,
    Return,
    SenderWroteNothing,
    Status,
    TellBank,
    Transfer,
    Verdict,
    decide,
    status_of,
)

Bits = tuple[int, int, int, int, int]
CHANGED, RECORD_ONLY, CONTRADICTION = Verdict.CHANGED, Verdict.RECORD_ONLY, Verdict.CONTRADICTION
RECEIVED, RESERVED, IN_FLIGHT = Status.RECEIVED, Status.RESERVED, Status.IN_FLIGHT
COMPLETED, RETURNED, REJECTED = Status.COMPLETED, Status.RETURNED, Status.REJECTED
BROKEN = None  # facts that cannot stand together: the code raises InvariantBroken

# rejected, returned, an attempt posted, an attempt open, reserved -> status
TRUTH: dict[Bits, Status | None] = {
    (0, 0, 0, 0, 0): RECEIVED,
    (0, 0, 0, 0, 1): RESERVED,
    (0, 0, 0, 1, 0): IN_FLIGHT,
    (0, 0, 0, 1, 1): IN_FLIGHT,
    (0, 0, 1, 0, 0): COMPLETED,
    (0, 0, 1, 0, 1): COMPLETED,
    (0, 0, 1, 1, 0): COMPLETED,  # refused by PostgreSQL (HK004); the row is for the table's sake
    (0, 0, 1, 1, 1): COMPLETED,
    (0, 1, 0, 0, 0): RETURNED,
    (0, 1, 0, 0, 1): RETURNED,
    (0, 1, 0, 1, 0): RETURNED,  # refused by PostgreSQL (HK002, HK010) and by decide
    (0, 1, 0, 1, 1): RETURNED,
    (0, 1, 1, 0, 0): RETURNED,  # a late success after a return: a break, the status stays
    (0, 1, 1, 0, 1): RETURNED,
    (0, 1, 1, 1, 0): RETURNED,
    (0, 1, 1, 1, 1): RETURNED,
    (1, 0, 0, 0, 0): REJECTED,
    (1, 0, 0, 0, 1): REJECTED,
    (1, 0, 0, 1, 0): BROKEN,
    (1, 0, 0, 1, 1): BROKEN,
    (1, 0, 1, 0, 0): BROKEN,
    (1, 0, 1, 0, 1): BROKEN,
    (1, 0, 1, 1, 0): BROKEN,
    (1, 0, 1, 1, 1): BROKEN,
    (1, 1, 0, 0, 0): BROKEN,
    (1, 1, 0, 0, 1): BROKEN,
    (1, 1, 0, 1, 0): BROKEN,
    (1, 1, 0, 1, 1): BROKEN,
    (1, 1, 1, 0, 0): BROKEN,
    (1, 1, 1, 0, 1): BROKEN,
    (1, 1, 1, 1, 0): BROKEN,
    (1, 1, 1, 1, 1): BROKEN,
}
DEAD = (Outcome.REFUSED, Outcome.BURNT, Outcome.NOT_SENT)


def test_truth_table_is_complete() -> None:
    assert set(TRUTH) == set(product((0, 1), repeat=5))
    assert {status for status in TRUTH.values() if status} == set(Status)


@pytest.mark.parametrize("bits", TRUTH, ids=lambda bits: "".join(map(str, bits)))
@pytest.mark.parametrize("dead", [(), (Outcome.BURNT,), DEAD], ids=["fresh", "burnt", "all kinds of dead"])
def test_status_follows_from_the_facts(bits: Bits, dead: tuple[Outcome, ...]) -> None:
    rejected, returned, posted_, open_, reserved = bits
    if rejected and dead:
        return  # that is a row of its own: rejected after custody
    outcomes: list[Outcome | None] = [*dead, *([Outcome.POSTED] if posted_ else []), *([None] if open_ else [])]
    transfer = replace(
        held,
        attempts=tuple(Attempt(number, outcome) for number, outcome in enumerate(outcomes, start=1)),
        returned=Return(LATE) if returned else None,
        rejected=bool(rejected),
        reserved=bool(reserved),
    )
    if TRUTH[bits] is BROKEN:
        with pytest.raises(InvariantBroken, match="rejected after custody"):
            status_of(transfer)
    else:
        assert status_of(transfer) is TRUTH[bits]


def test_rejected_with_a_dead_attempt_is_a_bug() -> None:
    with pytest.raises(InvariantBroken):
        status_of(replace(held, rejected=True, attempts=(Attempt(1, Outcome.BURNT),)))


def test_recall_hold_and_burn_due_do_not_decide_the_status() -> None:
    for name, transfer in STATES.items():
        noted = replace(transfer, recalled=RECALL, next_attempt_ms=10**12)
        assert status_of(noted) is status_of(transfer), name


# --- what each event does ---------------------------------------------------------------------------------

HELD_ROWS: list[Row] = [
    ("held", claimed(), CHANGED, (RecordAttempt(1),), IN_FLIGHT),
    ("held", claimed(999), CHANGED, (RecordAttempt(1),), IN_FLIGHT),
    same("held", claimed(1_000)),
    same("held", claimed(AFTER)),
    same("held, position short", claimed(599)),
    ("held, position short", claimed(600), CHANGED, (RecordAttempt(2),), IN_FLIGHT),
    ("held, burnt", claimed(), CHANGED, (RecordAttempt(2),), IN_FLIGHT),
    ("held, not sent", claimed(), CHANGED, (RecordAttempt(2),), IN_FLIGHT),
    same("held, all numbers used", claimed(999)),
    ("held, all numbers used", due(), CHANGED, back(LATE), RETURNED),
    credited("held", posted(1)),
    same("held", refused(UNKNOWN)),
    same("held", burnt()),
    same("held, position short", refused(SHORT)),
    against("held, position short", burnt()),
    credited("held, position short", posted()),
    same("held, burnt", burnt()),
    against("held, burnt", refused(SHORT)),
    credited("held, burnt", posted()),
    credited("held, not sent", posted()),
    same("held, not sent", burnt()),
    same("held", wrote_nothing()),
    same("held, not sent", wrote_nothing()),
    same("held, burnt", wrote_nothing()),
    same("held", due(CLOSING)),
    same("held", due(1_099)),
    ("held", due(1_100), CHANGED, back(LATE, burn_due=True), RETURNED),
    ("held, not sent", due(), CHANGED, back(LATE, burn_due=True), RETURNED),
    ("held, burnt", due(), CHANGED, back(LATE), RETURNED),
    ("held, position short", due(), CHANGED, back(SHORT), RETURNED),
    ("held", recalled(), CHANGED, (NoteRecall(RECALL), *back(RECALL, burn_due=True), RESOLVED), RETURNED),
    ("held, burnt", recalled(), CHANGED, (NoteRecall(RECALL), *back(RECALL), RESOLVED), RETURNED),
    against("held", acknowledged()),
    against("held", return_refused()),
]
RESERVED_ROWS: list[Row] = [
    ("reserved", claimed(), CHANGED, (RecordAttempt(1),), IN_FLIGHT),
    same("reserved", claimed(1_000)),
    credited("reserved, not sent", posted()),
    same("reserved", burnt()),
    same("reserved", wrote_nothing()),
    same("reserved", due(CLOSING)),
    ("reserved", due(), CHANGED, back(LATE, burn_due=True), RETURNED),
    ("reserved", recalled(), CHANGED, (NoteRecall(RECALL), *back(RECALL, burn_due=True), RESOLVED), RETURNED),
    against("reserved", acknowledged()),
    against("reserved", return_refused()),
]
IN_FLIGHT_ROWS: list[Row] = [
    same("in flight", claimed()),
    ("in flight", posted(), CHANGED, (close(Outcome.POSTED), TellBank("final")), COMPLETED),
    ("in flight", posted(now_ms=AFTER), CHANGED, (close(Outcome.POSTED), TellBank("final")), COMPLETED),
    ("in flight, taken over", posted(), CHANGED, (close(Outcome.POSTED), TellBank("final")), COMPLETED),
    ("in flight, recalled", posted(), CHANGED, (close(Outcome.POSTED), TellBank("final"), RESOLVED), COMPLETED),
    ("in flight", refused(UNKNOWN), CHANGED, (close(Outcome.REFUSED, UNKNOWN), *back(UNKNOWN)), RETURNED),
    ("in flight", refused(Reason.VALIDITY_PASSED), CHANGED,
     (close(Outcome.REFUSED, Reason.VALIDITY_PASSED), *back(LATE)), RETURNED),
    ("in flight", refused(SHORT), CHANGED,
     (close(Outcome.REFUSED, SHORT), HoldUntil(BEFORE + 3_000), TellBank("held", SHORT)), RECEIVED),
    ("in flight, reserved", refused(SHORT), CHANGED,
     (close(Outcome.REFUSED, SHORT), HoldUntil(BEFORE + 3_000), TellBank("held", SHORT)), RESERVED),
    ("in flight, recalled", refused(SHORT), CHANGED,
     (close(Outcome.REFUSED, SHORT), *back(RECALL), RESOLVED), RETURNED),
    ("in flight", burnt(now_ms=999), CHANGED, (close(Outcome.BURNT),), RECEIVED),
    ("in flight", burnt(now_ms=1_000), CHANGED, (close(Outcome.BURNT), *back(LATE)), RETURNED),
    ("in flight", burnt(now_ms=AFTER), CHANGED, (close(Outcome.BURNT), *back(LATE)), RETURNED),
    ("in flight, recalled", burnt(), CHANGED, (close(Outcome.BURNT), *back(RECALL), RESOLVED), RETURNED),
    ("in flight, second", posted(2), CHANGED, (close(Outcome.POSTED, number=2), TellBank("final")), COMPLETED),
    same("in flight, second", burnt(1)),
    credited("in flight, second", posted(1)),
    against("in flight, second", refused(SHORT, 1)),
    credited("in flight", posted(2)),
    same("in flight", burnt(2)),
    same("in flight", burnt(0)),
    ("in flight", wrote_nothing(), CHANGED, (close(Outcome.NOT_SENT, token=1),), RECEIVED),
    ("in flight, recalled", wrote_nothing(), CHANGED,
     (close(Outcome.NOT_SENT, token=1), *back(RECALL, burn_due=True), RESOLVED), RETURNED),
    ("in flight, last number", wrote_nothing(64), CHANGED,
     (close(Outcome.NOT_SENT, number=64, token=1), HoldUntil(1_100)), RECEIVED),
    ("in flight, last number", burnt(64), CHANGED, (close(Outcome.BURNT, number=64), HoldUntil(1_100)), RECEIVED),
    ("in flight, last number", refused(SHORT, 64), CHANGED,
     (close(Outcome.REFUSED, SHORT, number=64), HoldUntil(1_100), TellBank("held", SHORT)), RECEIVED),
    same("in flight, taken over", wrote_nothing(token=1)),
    same("in flight, taken over", wrote_nothing(token=2)),
    same("in flight, second", wrote_nothing(1)),
    same("in flight", wrote_nothing(2)),
    same("in flight", wrote_nothing(token=2)),
    same("in flight", due()),
    same("in flight", due(10**9)),
    same("in flight, second", due(10**9)),
    ("in flight", recalled(), CHANGED, (NoteRecall(RECALL),), IN_FLIGHT),
    same("in flight, recalled", recalled()),
    against("in flight", acknowledged()),
    against("in flight", return_refused()),
]  # fmt: skip
FINAL_ROWS: list[Row] = [
    same("completed", claimed()),
    same("completed", posted()),
    against("completed", refused(UNKNOWN)),
    against("completed", burnt()),
    against("completed, second", posted(1)),
    against("completed", posted(2)),
    same("completed", burnt(2)),
    same("completed", wrote_nothing()),
    same("completed", due()),
    ("completed", recalled(), CHANGED, (NoteRecall(RECALL), RESOLVED), COMPLETED),
    same("completed, recalled", recalled()),
    against("completed", acknowledged()),
    against("completed", return_refused()),
    same("returned unsent", claimed()),
    ("returned unsent", burnt(), CHANGED, (BurnDone(),), RETURNED),
    ("returned, not sent", burnt(), CHANGED, (BurnDone(),), RETURNED),
    ("returned unsent", posted(), CONTRADICTION, (BurnDone(), *broken(RETURNED, posted())), RETURNED),
    same("returned unsent", burnt(2)),
    same("returned unsent, burnt", burnt()),
    against("returned unsent, burnt", posted()),
    same("returned, refused", refused(UNKNOWN)),
    against("returned, refused", posted()),
    against("returned, burnt", posted()),
    against("returned, burnt", refused(UNKNOWN)),
    against("returned, acknowledged", posted()),
    same("returned, burnt", burnt()),
    same("returned, not sent", wrote_nothing()),
    same("returned unsent", due()),
    same("returned, acknowledged", due(10**9)),
    ("returned, burnt", recalled(), CHANGED, (NoteRecall(RECALL), RESOLVED), RETURNED),
    same("returned, recalled", recalled()),
    ("returned, burnt", acknowledged(), CHANGED, (AcknowledgeReturn(),), RETURNED),
    ("returned unsent", acknowledged(), CHANGED, (AcknowledgeReturn(),), RETURNED),
    same("returned, acknowledged", acknowledged()),
    against("returned, burnt", return_refused()),
    against("returned, acknowledged", return_refused()),
    same("rejected", claimed()),
    against("rejected", posted()),
    against("rejected", burnt()),
    same("rejected", wrote_nothing()),
    same("rejected", due()),
    same("rejected", recalled()),
    against("rejected", acknowledged()),
    against("rejected", return_refused()),
]
ROWS = [*HELD_ROWS, *RESTORED_ROWS, *RESERVED_ROWS, *IN_FLIGHT_ROWS, *FINAL_ROWS]


def _name(row: Row) -> str:
    state, event = row[0], row[1]
    values = ",".join(str(getattr(event, field.name)) for field in fields(event))
    return f"{state}-{type(event).__name__}({values})"


def test_every_status_meets_every_event() -> None:
    met = {(status_of(STATES[state]), type(event)) for state, event, *_ in ROWS}
    assert met == set(product(Status, EVENTS))
    assert set(MOVES) == set(product(Status, EVENTS))
    assert set(get_args(Event)) == set(EVENTS)


def test_every_answer_is_met_in_every_status() -> None:
    met = {(status_of(STATES[state]), event.outcome) for state, event, *_ in ROWS if isinstance(event, CoreAnswered)}
    answers = set(Outcome) - {Outcome.NOT_SENT}
    may_be_asked = set(Status) - {RESERVED, REJECTED}
    assert met >= set(product(may_be_asked, answers))
    assert {state for state, *_ in ROWS} == set(STATES)


def test_every_effect_is_caused_by_a_row() -> None:
    caused = {type(effect) for row in ROWS for effect in row[3]}
    assert caused == set(get_args(Effect))


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_event_in_status(row: Row) -> None:
    """I-GW-3, I-GW-4, I-GW-7: verdict, effects and status of one cell; a final status never changes."""
    state, event, verdict, effects, status = row
    before = STATES[state]
    decision = decide(before, event)
    assert decision.verdict is verdict
    assert decision.effects == effects
    assert status_of(decision.transfer) is status
    if status_of(before) in FINAL:
        assert status is status_of(before)
    assert (decision.verdict is CHANGED) <= (decision.transfer != before)
    assert (decision.verdict is RECORD_ONLY) == (decision.effects == ())


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_the_same_event_again_changes_nothing(row: Row) -> None:
    """A lost commit reply is settled by the same event again (design, law 1)."""
    once = decide(STATES[row[0]], row[1])
    twice = decide(once.transfer, row[1])
    assert twice.transfer == once.transfer
    assert twice.verdict is not CHANGED
    assert all(isinstance(effect, OpenBreak) for effect in twice.effects)
    assert twice.effects == tuple(effect for effect in once.effects if isinstance(effect, OpenBreak))


def test_not_sent_needs_the_first_lease() -> None:
    """I-GW-9: zero bytes are believed only of the holder under whose first lease nobody took over."""
    for seen, now in product((1, 2, 3), (1, 2, 3)):
        transfer = replace(held, attempts=(Attempt(1, lease_token=now),))
        decision = decide(transfer, SenderWroteNothing(1, seen, BEFORE))
        closed = (seen, now) == (1, 1)
        assert (decision.verdict is CHANGED) == closed, (seen, now)
        assert status_of(decision.transfer) is (RECEIVED if closed else IN_FLIGHT)


def test_no_clock_closes_an_attempt() -> None:
    """I-GW-6: however late it is, only a stored answer closes an attempt that may have been sent."""
    for name, transfer in STATES.items():
        if status_of(transfer) is IN_FLIGHT:
            for now_ms in (BEFORE, 999, 1_000, CLOSING, AFTER, 1_200, 10**15):
                decision = decide(transfer, due(now_ms))
                assert decision.transfer == transfer, name
                assert decision.effects == ()


def test_an_answer_that_no_core_can_give_is_a_bug() -> None:
    with pytest.raises(InvariantBroken):
        decide(STATES["in flight"], CoreAnswered(1, Outcome.NOT_SENT, BEFORE))
    with pytest.raises(InvariantBroken, match="without a reason"):
        decide(STATES["in flight"], CoreAnswered(1, Outcome.REFUSED, BEFORE))


def test_impossible_facts_stop_the_work() -> None:
    two_open = replace(held, attempts=(Attempt(1), Attempt(2)))
    open_and_returned = replace(held, attempts=(Attempt(1),), returned=Return(LATE))
    for facts in (two_open, open_and_returned):
        for event in (claimed(), due(), recalled()):
            with pytest.raises(InvariantBroken):
                decide(facts, event)


def test_a_return_is_decided_in_one_place_that_looks() -> None:
    for attempt in (Attempt(1), Attempt(1, Outcome.POSTED)):
        with pytest.raises(InvariantBroken, match="open or posted"):
            rules._give_back(replace(held, attempts=(attempt,)), (), LATE)


def _handlers() -> list[tuple[str, Event]]:
    wrong: dict[str, Event] = {
        "_claim": due(), "_answer": due(), "_nothing_written": due(), "_return_due": claimed(), "_recall": due(),
        "_recall_final": due(), "_known_attempt": no_credit(), "_no_credit": knows(),
    }  # fmt: skip
    return list(wrong.items())


@pytest.mark.parametrize(("handler", "event"), _handlers())
def test_a_handler_refuses_the_wrong_event(handler: str, event: Event) -> None:
    with pytest.raises(InvariantBroken, match="cannot handle"):
        getattr(rules, handler)(STATES["held"], event)


def test_acknowledging_without_a_return_is_a_bug() -> None:
    with pytest.raises(InvariantBroken, match="without a return"):
        rules._acknowledged(STATES["held"], acknowledged())


def test_position_short_waits_and_a_recall_ends_the_wait() -> None:
    """Held, told, tried again at its time, and given back at once when the bank wants it back."""
    transfer = decide(STATES["in flight"], refused(SHORT)).transfer
    assert transfer.next_attempt_ms == BEFORE + rules.POSITION_RETRY_MS / 10
    assert decide(transfer, claimed(transfer.next_attempt_ms - 1)).verdict is RECORD_ONLY
    given_back = decide(transfer, recalled()).transfer
    assert status_of(given_back) is RETURNED
    assert given_back.returned == Return(RECALL, burn_due=False)


def waits(event: Callable[[int, int], Event]) -> list[int]:
    """How long a transfer is held after each of its attempts, all of which end by `event(number, now_ms)`."""
    transfer, now_ms = Transfer(held.id, Deadlines(10**9, 10**9 + 1, 10**9 + 2)), 0
    found: list[int] = []
    while len(found) < rules.ATTEMPTS_MAX:
        transfer = decide(transfer, claimed(now_ms)).transfer
        transfer = decide(transfer, event(len(transfer.attempts), now_ms)).transfer
        found.append(max(0, transfer.next_attempt_ms - now_ms))
        now_ms += found[-1]
    assert decide(transfer, claimed(now_ms)).verdict is RECORD_ONLY
    return found[:-1]  # after the last one it waits for its return


def test_all_numbers_outlast_a_promise_of_four_hours() -> None:
    """The waits grow, so that no transfer goes back for want of a number while there is time."""
    short = waits(lambda number, now_ms: CoreAnswered(number, Outcome.REFUSED, now_ms, SHORT))
    assert [wait // 1000 for wait in short[:6]] == [30, 60, 120, 240, 300, 300]
    unsent = waits(lambda number, now_ms: SenderWroteNothing(number, 1, now_ms))
    assert [wait // 1000 for wait in unsent[:8]] == [0, 0, 0, 1, 2, 4, 8, 16]
    assert min(sum(short), sum(unsent)) > 4 * 3600 * 1000


def test_a_return_with_an_id_that_may_live_is_a_bug() -> None:
    """I-GW-10: whoever forgets that a log may be a copy is stopped where returns are decided."""
    with pytest.raises(InvariantBroken, match="older than a restore"):
        rules._give_back(STATES["restored, burnt"], (), LATE)


def test_burn_is_due_only_where_no_byte_was_ever_sent() -> None:
    """I-GW-6: pre-emptive burns are for ids that nobody sent; ids that were sent are dead before the return."""
    for first, second in product([None, *DEAD], repeat=2):
        if first is None and second is not None:
            continue
        outcomes = [outcome for outcome in (first, second) if outcome]
        attempts = tuple(
            Attempt(number, outcome, SHORT if outcome is Outcome.REFUSED else None)
            for number, outcome in enumerate(outcomes, start=1)
        )
        transfer = decide(Transfer(held.id, held.deadlines, attempts), due()).transfer
        assert transfer.returned is not None
        assert transfer.returned.burn_due == all(outcome is Outcome.NOT_SENT for outcome in outcomes)


def test_a_copy_with_other_attempts_keeps_every_other_fact() -> None:
    """It names the fields by hand: one that is added later must not be lost."""
    whole = replace(
        held, reserved=True, rejected=True, recalled=RECALL, next_attempt_ms=7, burn_first=True, returned=Return(LATE)
    )
    unset = [one.name for one in fields(Transfer) if getattr(whole, one.name) == one.default and one.name != "attempts"]
    assert unset == [], "give it a value here"
    assert whole.with_attempts((Attempt(1),)) == replace(whole, attempts=(Attempt(1),))
