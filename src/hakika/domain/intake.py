"""What a bank's message is answered with, from what is known of its ids; pure.

Idempotent twice: a message by (bank, MsgId) and the hash of its bytes, a transfer by (bank, UETR) and its
canonical content without group header. A refused resend never carries a transaction status for an id in
custody: it is a conflict (HTTP 409), so that no bank re-credits a customer whose transfer is under way.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Uetr = TypeVar("Uetr", bound=Hashable)


@dataclass(frozen=True, slots=True)
class KnownTransfer:
    """What is stored under (bank, UETR); a tombstone has no content."""

    content_sha256: bytes | None
    rejected: bool


class Line(StrEnum):
    """What happens to one transfer of an accepted message."""

    NEW = "new"
    REPEATED = "repeated"  # in custody already, same content: the same receipt facts again
    REJECTED = "rejected"  # refused before and stored: RJCT, final
    REFUSED = "refused"  # refused now by what the operator serves today: stored with its id, then RJCT, final


@dataclass(frozen=True, slots=True)
class Conflict:
    """HTTP 409: nothing written, no transaction status."""

    code: str
    field: str
    rule: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The message is answered with one line a transfer; `replay` writes nothing."""

    lines: tuple[Line, ...]
    replay: bool


def decide_intake(
    body_sha256: bytes,
    contents: Sequence[tuple[Uetr, bytes]],
    known_sha256: bytes | None,
    known: Mapping[Uetr, KnownTransfer],
    unserved: Collection[Uetr] = (),
) -> Taken | Conflict:
    """The answer to a message of `contents` (UETR, content hash), ids looked up before everything else.

    `known_sha256` is of the message taken before under the same MsgId, None when there was none.
    `unserved` are the transfers whose currency the operator does not serve at this moment: a refusal by state,
    so it is stored with its id before it is told, and stays when the currency is served one day.
    """
    if known_sha256 not in (None, body_sha256):
        return Conflict("message_replayed", "GrpHdr/MsgId", "was used before with other content; use a new MsgId")
    lines = []
    for index, (uetr, content) in enumerate(contents):
        before = known.get(uetr)
        if before is None:
            lines.append(Line.REFUSED if uetr in unserved else Line.NEW)
        elif before.rejected:
            lines.append(Line.REJECTED)
        elif before.content_sha256 == content:
            lines.append(Line.REPEATED)
        else:
            field = f"CdtTrfTxInf[{index + 1}]/PmtId/UETR"
            rule = "is in custody with other content; ask its status by pacs.028, do not re-credit"
            return Conflict("id_conflict", field, rule)
    return Taken(tuple(lines), replay=known_sha256 is not None)
