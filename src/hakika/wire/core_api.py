"""The internal API between `gateway` and `core`: JSON over HTTP, batches, bearer token.

`POST /internal/instructions`, `/internal/burns`, `/internal/inquiries` and `/internal/names`;
`GET /internal/session`. Each answer repeats what the ledger has stored under the id: asking twice gives the
same answer. A busy or unready core answers 503 and stores nothing: that is no answer about any id.
After a restore the core answers instructions with 503 until the gateway has sent every transfer that it
knows as completed to `POST /internal/redrive` (body and answers as for instructions) and has then sent
`POST /internal/redriven`. Structs refuse unknown fields.
"""

from typing import Literal

import msgspec

BATCH_MAX = 1000  # ids or instructions in one request

# posted, refused and burnt are stored under the id and are evidence. `unknown` and `conflict` are evidence of
# nothing: `unknown` says that nothing is stored (inquiries), that a re-drive could not post yet and stored
# nothing (`reason` says why), or that this one command failed; `conflict` says that the id is known with other
# content (another bank, creditor, amount or currency): what is stored under it is not told.
Result = Literal["posted", "refused", "burnt", "unknown", "conflict"]


class Instruction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Credit one wallet from one bank's position; `id` is the attempt's id and the head of its linked set."""

    id: str  # 32 hex digits
    bank: str
    creditor_msisdn: str  # E.164 digits without +
    amount_minor: int
    currency: str
    valid_until_ms: int


class Instructions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to BATCH_MAX instructions; each is decided by itself, in this order."""

    instructions: list[Instruction]


class Ids(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attempt ids to burn, or to ask about."""

    ids: list[str]


class Answer(msgspec.Struct, frozen=True):
    """What the ledger has stored under `id`; `unknown` and `conflict` are evidence of nothing."""

    id: str
    result: Result
    reason: str | None = None  # domain.reasons.Reason, with result `refused` (and `unknown` in a re-drive)
    fee_minor: int = 0
    slot: int = 0  # writer slot, sequence and head of the hash chain that holds the answer
    seq: int = 0
    head: str = ""  # 64 hex digits
    at_ms: int = 0


class Answers(msgspec.Struct, frozen=True):
    """One answer for each id, in the order asked."""

    incarnation: int
    answers: list[Answer]


class Redriven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that the gateway knew as completed was re-posted in this incarnation of the core."""

    incarnation: int


class Session(msgspec.Struct, frozen=True):
    """A live, authenticated connection: who is there, since which restore, at what time."""

    incarnation: int
    now_ms: int
    redriven: bool  # False after a restore until the gateway has re-driven what it knows


class NameQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask who would be credited, and at what fee, before anything is debited."""

    msisdn: str
    amount_minor: int
    currency: str


class NameAnswer(msgspec.Struct, frozen=True):
    """`name` is whole here; the gateway masks it before it leaves."""

    known: bool
    name: str = ""
    fee_minor: int = 0
    reason: str | None = None  # why a credit would be refused now
