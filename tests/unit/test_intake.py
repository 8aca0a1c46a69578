"""What a bank's message is answered with, from what is known of its ids: the whole table, and the two that matter.

An id in custody never gets a transaction status by a refused resend: it is a conflict. An id that was refused
and stored stays refused, whatever comes under it later.
"""

from itertools import product
from uuid import UUID

import pytest

from hakika.domain.intake import Conflict, KnownTransfer, Line, Taken, decide_intake

BODY, OTHER_BODY = b"b" * 32, b"o" * 32
CONTENT, OTHER_CONTENT = b"c" * 32, b"d" * 32
U1, U2 = UUID(int=1), UUID(int=2)

# (what is known of the transfer) -> line, or None where the whole message is a conflict
TRANSFER = {
    "fresh": (None, Line.NEW),
    "in custody, same content": (KnownTransfer(CONTENT, rejected=False), Line.REPEATED),
    "in custody, other content": (KnownTransfer(OTHER_CONTENT, rejected=False), None),
    "tombstone": (KnownTransfer(None, rejected=True), Line.REJECTED),
    "refused and stored, same content": (KnownTransfer(CONTENT, rejected=True), Line.REJECTED),
    "refused and stored, other content": (KnownTransfer(OTHER_CONTENT, rejected=True), Line.REJECTED),
}
MESSAGE = {
    "fresh": (None, False),
    "same bytes": (BODY, False),
    "other bytes": (OTHER_BODY, True),
}


@pytest.mark.parametrize(("message", "first", "second"), list(product(MESSAGE, TRANSFER, TRANSFER)))
def test_every_case(message: str, first: str, second: str) -> None:
    known_sha256, replayed = MESSAGE[message]
    stored = {U1: TRANSFER[first][0], U2: TRANSFER[second][0]}
    known = {uetr: row for uetr, row in stored.items() if row is not None}
    decided = decide_intake(BODY, [(U1, CONTENT), (U2, CONTENT)], known_sha256, known)
    lines = (TRANSFER[first][1], TRANSFER[second][1])
    if replayed:
        assert isinstance(decided, Conflict)
        assert (decided.code, decided.field) == ("message_replayed", "GrpHdr/MsgId")
    elif None in lines:
        assert isinstance(decided, Conflict)
        assert decided.code == "id_conflict"
        assert decided.field == f"CdtTrfTxInf[{lines.index(None) + 1}]/PmtId/UETR"
    else:
        assert decided == Taken(tuple(line for line in lines if line), replay=known_sha256 is not None)


def test_other_content_in_custody_is_a_conflict_not_a_status() -> None:
    """Design 5, Intake: HTTP 409, not RJCT; the bank must not re-credit a transfer that is under way."""
    known = {U2: KnownTransfer(OTHER_CONTENT, rejected=False)}
    decided = decide_intake(BODY, [(U1, CONTENT), (U2, CONTENT)], None, known)
    assert isinstance(decided, Conflict)
    assert decided.field == "CdtTrfTxInf[2]/PmtId/UETR"
    assert "do not re-credit" in decided.rule


def test_replayed_message_id_is_a_conflict_not_a_status() -> None:
    for known in ({}, {U1: KnownTransfer(None, rejected=True)}, {U1: KnownTransfer(CONTENT, rejected=False)}):
        decided = decide_intake(BODY, [(U1, CONTENT)], OTHER_BODY, known)
        assert isinstance(decided, Conflict)


def test_tombstone_refuses_any_content() -> None:
    """Design 5, Intake: a recall that came first refuses the transfer for good."""
    for content in (CONTENT, OTHER_CONTENT, b""):
        decided = decide_intake(BODY, [(U1, content)], None, {U1: KnownTransfer(None, rejected=True)})
        assert decided == Taken((Line.REJECTED,), replay=False)


def test_a_message_of_a_thousand() -> None:
    uetrs = [UUID(int=number) for number in range(1, 1001)]
    decided = decide_intake(BODY, [(uetr, CONTENT) for uetr in uetrs], None, {})
    assert decided == Taken((Line.NEW,) * 1000, replay=False)
