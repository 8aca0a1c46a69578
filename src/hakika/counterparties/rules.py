"""What a bank does with its customer's money when the gateway says something: a pure table, state by word.

A debit leaves the money in transit. Only three words move it on: RJCT before a receipt and pacs.004 give it back
to the customer, ACCC hands it to the position's mirror. Silence moves nothing, nor does a word that contradicts
what was booked: that is recorded as a contradiction for people to look at. The same word twice is the same word.
A gateway that no longer knows a message is sent it again, and then its new receipt takes the place of the first.
`decide` is total over every state and word; nothing here knows of SQLite, HTTP or XML.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a transfer stands in the bank's own books."""

    DEBITED = "debited"  # in transit, no receipt yet
    ACCEPTED = "accepted"  # in transit, the gateway's custody receipt is stored
    COMPLETED = "completed"  # in the position's mirror
    RETURNED = "returned"  # given back on a pacs.004
    REJECTED = "rejected"  # given back on RJCT, before any receipt


class Word(StrEnum):
    """What a verified message of the gateway says about one transfer."""

    RECEIPT = "receipt"  # 202 with the custody receipt
    REFUSAL = "refusal"  # TxSts or GrpSts RJCT
    PROGRESS = "progress"  # RCVD, ACFC, ACSP, PDNG: not final
    COMPLETION = "completion"  # ACCC
    RETURN = "return"  # pacs.004


class Step(StrEnum):
    """What the books do about it."""

    ACCEPT = "accept"  # store the receipt, state becomes accepted
    KEEP = "keep"  # store the receipt beside a state that is final already
    RENEW = "renew"  # the gateway had lost the message and holds it anew: the receipt replaces the one before
    REJECT = "reject"  # in transit -> customer
    COMPLETE = "complete"  # in transit -> position mirror
    RETURN = "return"  # in transit -> customer, acknowledge
    NOTE = "note"  # recorded, nothing moves
    SAME = "same"  # said before: nothing
    CONTRADICT = "contradict"  # recorded as a contradiction, nothing moves


# Every state (row) and word (column). RETURN on a returned transfer is SAME only under the same return id.
TABLE: dict[State, dict[Word, Step]] = {
    State.DEBITED: {
        Word.RECEIPT: Step.ACCEPT,
        Word.REFUSAL: Step.REJECT,
        Word.PROGRESS: Step.NOTE,
        Word.COMPLETION: Step.COMPLETE,
        Word.RETURN: Step.RETURN,
    },
    State.ACCEPTED: {
        Word.RECEIPT: Step.KEEP,
        Word.REFUSAL: Step.CONTRADICT,
        Word.PROGRESS: Step.NOTE,
        Word.COMPLETION: Step.COMPLETE,
        Word.RETURN: Step.RETURN,
    },
    State.COMPLETED: {
        Word.RECEIPT: Step.KEEP,
        Word.REFUSAL: Step.CONTRADICT,
        Word.PROGRESS: Step.NOTE,
        Word.COMPLETION: Step.SAME,
        Word.RETURN: Step.CONTRADICT,
    },
    State.RETURNED: {
        Word.RECEIPT: Step.KEEP,
        Word.REFUSAL: Step.CONTRADICT,
        Word.PROGRESS: Step.NOTE,
        Word.COMPLETION: Step.CONTRADICT,
        Word.RETURN: Step.SAME,
    },
    State.REJECTED: {
        Word.RECEIPT: Step.CONTRADICT,
        Word.REFUSAL: Step.SAME,
        Word.PROGRESS: Step.CONTRADICT,
        Word.COMPLETION: Step.CONTRADICT,
        Word.RETURN: Step.CONTRADICT,
    },
}


@dataclass(frozen=True, slots=True)
class Booked:
    """What the books hold of one transfer, as far as a decision needs it."""

    state: State
    amount_minor: int
    currency: str
    msg_id: str
    end_to_end_id: str
    receipt: str | None
    return_id: str | None
    sent_again: bool = False  # because the gateway said that it does not know the message
    superseded: frozenset[str] = frozenset()  # receipts that another one has replaced


@dataclass(frozen=True, slots=True)
class Said:
    """One word of the gateway with the ids and the amount that it names; None where the message has none."""

    word: Word
    msg_id: str | None = None
    end_to_end_id: str | None = None
    receipt: str | None = None
    return_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The step to book; `rule` says in plain words which rule a contradiction breaks."""

    step: Step
    rule: str = ""


def decide(booked: Booked | None, said: Said, *, return_id_taken: bool = False) -> Decision:
    """What to do about `said`, given what is booked (None: no such transfer here).

    `return_id_taken`: the return id that is said returned another transfer before.
    """
    if booked is None:
        return Decision(Step.CONTRADICT, "no transfer with this UETR was ever sent")
    if said.msg_id is not None and said.msg_id != booked.msg_id:
        return Decision(Step.CONTRADICT, "the original message id is not the one that was sent")
    if said.end_to_end_id is not None and said.end_to_end_id != booked.end_to_end_id:
        return Decision(Step.CONTRADICT, "the end-to-end id is not the one that was sent")
    if said.word is Word.RETURN and (said.amount_minor, said.currency) != (booked.amount_minor, booked.currency):
        return Decision(Step.CONTRADICT, "the returned amount is not the amount that was sent")
    if return_id_taken:
        return Decision(Step.CONTRADICT, "the return id belongs to another transfer")
    step = TABLE[booked.state][said.word]
    if step is Step.SAME and said.word is Word.RETURN and said.return_id != booked.return_id:
        return Decision(Step.CONTRADICT, "a second return under another return id")
    if step is Step.KEEP and booked.receipt is not None:
        if said.receipt == booked.receipt or said.receipt in booked.superseded:
            return Decision(Step.SAME)
        if booked.sent_again:
            return Decision(Step.RENEW)
        return Decision(Step.CONTRADICT, "a second custody receipt with other content")
    if step is Step.CONTRADICT:
        return Decision(step, f"{said.word} after {booked.state}")
    return Decision(step)
