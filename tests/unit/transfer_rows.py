"""Rows of the table of `test_transfer.py`: how one is written, and those of transfers older than a restore.

After a restore of the gateway a transfer's log is a copy: nothing is sent, nothing goes back by the clock, by a
recall or by fewer than all answers; lost attempts are recorded in order, and closed by the core's answers (I-GW-10).
"""

from transfer_states import (
    AFTER,
    RECALL,
    RESTORED,
    SHORT,
    STATES,
    UNKNOWN,
    burnt,
    claimed,
    due,
    knows,
    no_credit,
    posted,
    recalled,
    refused,
    wrote_nothing,
)  # fmt: skip

from hakika.domain.reasons import Reason
from hakika.domain.transfer import (
    FOR_PEOPLE_MS,
    CloseAttempt,
    CoreAnswered,
    DecideReturn,
    Effect,
    Event,
    HoldUntil,
    NoteRecall,
    OpenBreak,
    Outcome,
    RecordAttempt,
    Status,
    TellBank,
    Verdict,
    status_of,
)  # fmt: skip

CHANGED, RECORD_ONLY, CONTRADICTION = Verdict.CHANGED, Verdict.RECORD_ONLY, Verdict.CONTRADICTION
RECEIVED, IN_FLIGHT, COMPLETED, RETURNED = Status.RECEIVED, Status.IN_FLIGHT, Status.COMPLETED, Status.RETURNED

Row = tuple[str, Event, Verdict, tuple[Effect, ...], Status]


def close(outcome: Outcome, reason: Reason | None = None, number: int = 1, token: int | None = None) -> CloseAttempt:
    """An attempt gets its answer."""
    return CloseAttempt(number, outcome, reason, token)


def back(reason: Reason, *, burn_due: bool = False) -> tuple[Effect, ...]:
    """A return is decided and the bank told."""
    return DecideReturn(reason, burn_due), TellBank("return", reason)


def broken(status: Status, event: Event) -> tuple[Effect, ...]:
    """A break whose kind names the status and what was said against it."""
    said = event.outcome.value if isinstance(event, CoreAnswered) else type(event).__name__
    return (OpenBreak(f"{status.value.lower()}_but_{said}", repr(event)),)


def same(state: str, event: Event) -> Row:
    """Known already, or not allowed now: nothing changes."""
    return state, event, RECORD_ONLY, (), status_of(STATES[state])


def against(state: str, event: Event) -> Row:
    """Contradicts what is recorded: a break, the status stays."""
    status = status_of(STATES[state])
    return state, event, CONTRADICTION, broken(status, event), status


def credited(state: str, event: CoreAnswered) -> Row:
    """The core credits an id that is dead or was never sent: a break, and nothing more goes out by itself."""
    status = status_of(STATES[state])
    return state, event, CONTRADICTION, (*broken(status, event), HoldUntil(FOR_PEOPLE_MS)), status


RESOLVED = TellBank("resolution", RECALL)
RESTORED_ROWS: list[Row] = [
    same("restored", claimed()),
    same("restored, burnt", claimed()),
    same("restored", due()),
    same("restored, burnt", due(10**9)),
    ("restored", recalled(), CHANGED, (NoteRecall(RECALL),), RECEIVED),
    same("restored, recalled", recalled()),
    ("restored", no_credit(), CHANGED, back(RESTORED), RETURNED),
    ("restored, reserved", no_credit(), CHANGED, back(RESTORED), RETURNED),
    ("restored, burnt", no_credit(), CHANGED, back(RESTORED), RETURNED),
    ("restored, not sent", no_credit(), CHANGED, back(RESTORED), RETURNED),
    ("restored, recalled", no_credit(), CHANGED, (*back(RECALL), RESOLVED), RETURNED),
    *(same("restored", no_credit(number)) for number in (1, 2, 64)),
    ("restored", knows(1), CHANGED, (RecordAttempt(1),), IN_FLIGHT),
    ("restored, recalled", knows(2), CHANGED, (RecordAttempt(2),), IN_FLIGHT),
    same("restored", knows(2)),
    same("restored, burnt", knows(1)),
    same("restored, burnt", posted(2)),
    credited("restored, burnt", posted()),
    credited("restored, not sent", posted()),
    same("restored", burnt(3)),
    same("restored, in flight", knows(1)),
    same("restored, in flight", knows(2)),
    same("restored, in flight", no_credit()),
    same("restored, in flight", posted(2)),
    ("restored, in flight", posted(), CHANGED, (close(Outcome.POSTED), TellBank("final")), COMPLETED),
    (
        "restored, recalled in flight",
        posted(),
        CHANGED,
        (close(Outcome.POSTED), TellBank("final"), RESOLVED),
        COMPLETED,
    ),
    ("restored, in flight", burnt(now_ms=AFTER), CHANGED, (close(Outcome.BURNT),), RECEIVED),
    ("restored, recalled in flight", burnt(), CHANGED, (close(Outcome.BURNT),), RECEIVED),
    *(
        ("restored, in flight", refused(reason), CHANGED, (close(Outcome.REFUSED, reason),), RECEIVED)
        for reason in (UNKNOWN, SHORT, Reason.VALIDITY_PASSED)
    ),
    ("restored, in flight", wrote_nothing(), CHANGED, (close(Outcome.NOT_SENT, token=1),), RECEIVED),
    against("restored, completed", posted(2)),
    against("restored, completed", no_credit()),
    same("restored, completed", knows(2)),
    same("restored, returned", knows(1)),
    same("restored, returned", no_credit()),
    against("restored, returned", posted()),
    same("held", knows()),
    same("held", no_credit()),
    same("reserved", knows()),
    same("reserved", no_credit()),
    same("in flight", knows(2)),
    same("in flight", no_credit()),
    same("completed", knows()),
    against("completed", no_credit()),
    same("returned unsent", knows()),
    same("returned unsent", no_credit()),
    same("rejected", knows()),
    same("rejected", no_credit()),
]
