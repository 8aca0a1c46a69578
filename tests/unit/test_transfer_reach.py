"""Every state that a transfer can reach in three attempts, and what each event does there.

A breadth-first walk from a fresh transfer through all events, valid or not, at three instants; a takeover raises
the lease token of an open attempt, as the store does. On each of the steps the promises are checked that
concern one transfer alone (I-GW-2, I-GW-4, I-GW-6, I-GW-7, I-GW-8, and I-GW-10 of what is older than a restore).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

from transfer_states import (
    AFTER,
    BEFORE,
    CLOSING,
    SHORT,
    UNKNOWN,
    acknowledged,
    burnt,
    due,
    held,
    knows,
    no_credit,
    old,
    posted,
    recalled,
    refused,
    return_refused,
)

from hakika.domain.transfer import (
    FINAL,
    AcknowledgeReturn,
    Attempt,
    BurnDone,
    CloseAttempt,
    CoreKnowsAttempt,
    CoreKnowsNoCredit,
    DecideReturn,
    Decision,
    Event,
    HoldUntil,
    NoteRecall,
    OpenBreak,
    Outcome,
    RecordAttempt,
    SenderWroteNothing,
    Status,
    TellBank,
    Transfer,
    Verdict,
    WorkerClaimed,
    decide,
    status_of,
)

ATTEMPTS_MAX = 3
INSTANTS = (BEFORE, CLOSING, AFTER)


def _events() -> list[Event]:
    found: list[Event] = [recalled(), acknowledged(), return_refused()]
    for now_ms in INSTANTS:
        found += [WorkerClaimed(now_ms), due(now_ms)]
        for number in range(ATTEMPTS_MAX + 1):
            found += [posted(number, now_ms), burnt(number, now_ms)]
            found += [refused(reason, number, now_ms) for reason in (SHORT, UNKNOWN)]
    found += [no_credit(), no_credit(1), no_credit(64), *(knows(number) for number in range(1, ATTEMPTS_MAX + 2))]
    found += [SenderWroteNothing(number, token, BEFORE) for number, token in product(range(1, 4), (1, 2))]
    return found


EVENTS = _events()


def _next(transfer: Transfer) -> Iterator[tuple[Event, Decision]]:
    for event in EVENTS:
        yield event, decide(transfer, event)


def _taken_over(transfer: Transfer) -> Transfer | None:
    """The store's own step: the lease of the open attempt changes hands; tokens above 2 add nothing new."""
    if status_of(transfer) is not Status.IN_FLIGHT or transfer.attempts[-1].lease_token > 1:
        return None
    last = replace(transfer.attempts[-1], lease_token=2)
    return replace(transfer, attempts=(*transfer.attempts[:-1], last))


@cache
def _steps() -> list[tuple[Transfer, Event, Decision]]:
    """Every step of the walk, made once."""
    return list(_walk())


def _walk() -> Iterator[tuple[Transfer, Event, Decision]]:
    for start in (held, replace(held, reserved=True), replace(held, rejected=True), old):
        seen, queue = {start}, deque([start])
        while queue:
            transfer = queue.popleft()
            after = _taken_over(transfer)
            reached = [after] if after else []
            for event, decision in _next(transfer):
                yield transfer, event, decision
                reached.append(decision.transfer)
            for state in reached:
                if state not in seen and len(state.attempts) <= ATTEMPTS_MAX:
                    seen.add(state)
                    queue.append(state)


def test_the_walk_is_not_empty() -> None:
    states = {transfer for transfer, _, _ in _steps()}
    assert {status_of(transfer) for transfer in states} == set(Status)
    assert len(states) > 1_000


def test_final_never_changes() -> None:
    """I-GW-4."""
    for transfer, event, decision in _steps():
        if status_of(transfer) in FINAL:
            assert status_of(decision.transfer) is status_of(transfer), (transfer, event)
            assert decision.transfer.attempts == transfer.attempts


def test_one_attempt_open_and_none_after_an_end() -> None:
    """I-GW-7: a new attempt only where every earlier one is dead and nothing is returned, recalled or late."""
    for transfer, event, decision in _steps():
        opens = [attempt for attempt in decision.transfer.attempts if attempt.outcome is None]
        assert len(opens) <= 1
        assert not (opens and decision.transfer.returned), (transfer, event)
        if any(isinstance(effect, RecordAttempt) for effect in decision.effects):
            assert all(attempt.outcome not in (None, Outcome.POSTED) for attempt in transfer.attempts)
            assert transfer.returned is None
            if transfer.burn_first:
                assert isinstance(event, CoreKnowsAttempt)
                continue
            assert isinstance(event, WorkerClaimed)
            assert transfer.recalled is None
            assert transfer.next_attempt_ms <= event.now_ms < transfer.deadlines.valid_until_ms


def test_a_return_needs_every_id_dead() -> None:
    """I-GW-2, I-GW-6: nothing open, nothing posted; and no clock alone returns what may have been sent."""
    for transfer, event, decision in _steps():
        decided = [effect for effect in decision.effects if isinstance(effect, DecideReturn)]
        assert bool(decided) == (transfer.returned is None and decision.transfer.returned is not None)
        if not decided:
            continue
        outcomes = [attempt.outcome for attempt in decision.transfer.attempts]
        assert all(outcome in (Outcome.REFUSED, Outcome.BURNT, Outcome.NOT_SENT) for outcome in outcomes)
        if transfer.burn_first:
            assert event == no_credit(), event
            assert not decided[0].burn_due
            continue
        assert not isinstance(event, CoreKnowsNoCredit)
        assert decided[0].burn_due == all(outcome is Outcome.NOT_SENT for outcome in outcomes)
        if status_of(transfer) is Status.IN_FLIGHT:
            assert not isinstance(event, WorkerClaimed | type(due())), event


def test_an_attempt_closes_once_and_only_by_evidence() -> None:
    """I-GW-6, I-GW-9: by the core's answer about it, or by its first holder who wrote nothing."""
    for transfer, event, decision in _steps():
        after = {attempt.number: attempt for attempt in decision.transfer.attempts}
        closed = [effect for effect in decision.effects if isinstance(effect, CloseAttempt)]
        changed = [attempt for attempt in transfer.attempts if after[attempt.number] != attempt]
        assert [attempt.number for attempt in changed] == [effect.number for effect in closed], (transfer, event)
        for attempt, effect in zip(changed, closed, strict=True):
            assert attempt.outcome is None
            assert after[attempt.number].outcome is effect.outcome
            assert getattr(event, "number", None) == attempt.number
            if effect.outcome is Outcome.NOT_SENT:
                assert isinstance(event, SenderWroteNothing)
                assert attempt.lease_token == event.lease_token == effect.lease_token == 1


def test_effects_and_facts_agree() -> None:
    """I-GW-8: what is written is exactly what changed; a repeated event changes nothing."""
    for transfer, event, decision in _steps():
        kinds = {type(effect) for effect in decision.effects}
        before, after = transfer, decision.transfer
        assert (RecordAttempt in kinds) == (len(after.attempts) > len(before.attempts))
        assert (NoteRecall in kinds) == (after.recalled != before.recalled)
        assert (HoldUntil in kinds) == (after.next_attempt_ms != before.next_attempt_ms) or HoldUntil in kinds
        assert (OpenBreak in kinds) == (decision.verdict is Verdict.CONTRADICTION), (transfer, event)
        assert (decision.verdict is Verdict.RECORD_ONLY) == (not decision.effects)
        if before.returned and after.returned:
            assert (AcknowledgeReturn in kinds) == (after.returned.acknowledged != before.returned.acknowledged)
            assert (BurnDone in kinds) == (after.returned.burn_due != before.returned.burn_due)
        if before == after:
            assert kinds <= {OpenBreak}, (transfer, event)
        again = decide(after, event)
        assert again.transfer == after
        assert all(isinstance(effect, OpenBreak) for effect in again.effects)


def test_the_bank_is_told_each_end_once() -> None:
    """I-GW-8: `final` exactly on completion, `return` exactly on the return, a recall resolved when it can be."""
    for transfer, event, decision in _steps():
        told = [effect.kind for effect in decision.effects if isinstance(effect, TellBank)]
        entered = status_of(decision.transfer) if status_of(decision.transfer) is not status_of(transfer) else None
        assert told.count("final") == (entered is Status.COMPLETED)
        assert told.count("return") == (entered is Status.RETURNED)
        ended = status_of(decision.transfer) in FINAL - {Status.REJECTED}
        was_ended = status_of(transfer) in FINAL
        resolved = bool(decision.transfer.recalled) and ended and not (bool(transfer.recalled) and was_ended)
        assert told.count("resolution") == resolved, (transfer, event)


def test_evidence_against_what_is_recorded_opens_a_break() -> None:
    """Law 1: an answer that contradicts a closed attempt, or credits an unsent id, is never swallowed."""
    for transfer, event, decision in _steps():
        number, outcome = getattr(event, "number", 0), getattr(event, "outcome", None)
        known = transfer.attempts[number - 1] if 0 < number <= len(transfer.attempts) else None
        unsent = known is None or known.outcome is Outcome.NOT_SENT
        lost = known is None and transfer.burn_first and status_of(transfer) not in FINAL
        if outcome is not None and lost and number > 0:
            assert decision.verdict is Verdict.RECORD_ONLY, (transfer, event)  # the log lacks it: recorded first
            continue
        against = outcome is Outcome.POSTED if unsent else known.outcome not in (None, outcome)  # type: ignore[union-attr]
        if outcome is not None and against:
            assert decision.verdict is Verdict.CONTRADICTION, (transfer, event)
            (break_,) = (effect for effect in decision.effects if isinstance(effect, OpenBreak))
            assert break_.kind.endswith(f"_but_{outcome.value}")


def test_older_than_a_restore_stays_so() -> None:
    """I-GW-10: nothing that happens to a transfer makes its log whole again."""
    for transfer, event, decision in _steps():
        assert decision.transfer.burn_first == transfer.burn_first, (transfer, event)


def test_attempt_numbers_have_no_gaps() -> None:
    for transfer, _, _ in _steps():
        assert [attempt.number for attempt in transfer.attempts] == list(range(1, len(transfer.attempts) + 1))
        assert all(isinstance(attempt, Attempt) for attempt in transfer.attempts)
