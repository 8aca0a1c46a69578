"""Health's statement about a corridor, as banks get it: what may be debited now, for how long that holds, signed.

A bank must know before it debits: this corridor, now; may I debit; when does it land; how old is this; who signed it;
what do I do if it is missing. The document is JSON; the signature is Ed25519 in the headers of Standard Webhooks
(`webhook-id`, `webhook-timestamp`, `webhook-signature: v1a,...`), over the raw body, so that no bank can forge one
to another. Freshness is the document's own: after `expires_at_ms` it says nothing any more.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SCHEMA = "health.corridor/1"
VERSION = "v1a"
WINDOW_S = 30  # a webhook's own time may differ from ours by this, either way
EXPIRES_MS = 30_000
HEARTBEAT_MS = 10_000
SIGNATURES_MAX = 4  # two keys live during a rotation; a header with dozens is somebody's experiment

Decision = Literal["OPEN", "SLOW", "HOLD", "TRICKLE"]


class TransferEvidence(msgspec.Struct, frozen=True):
    """Real transfers of the last `window_s`: how many ended, and the share of technical failures."""

    n: int
    technical_fail: float
    window_s: int


class ProbeEvidence(msgspec.Struct, frozen=True):
    """Vantages whose last test of this corridor failed, of how many."""

    fail: int
    of: int


class ReportEvidence(msgspec.Struct, frozen=True):
    """Distinct customers who reported in the last quarter of an hour, and how many do on a quiet day."""

    count: int
    expected: float


class Evidence(msgspec.Struct, frozen=True):
    """What the decision rests on; a bank sees its own corridor's, the public does not."""

    tx: TransferEvidence | None = None
    probes: ProbeEvidence | None = None
    reports: ReportEvidence | None = None


class Backlog(msgspec.Struct, frozen=True):
    """Transfers in custody without an end, and the age of the oldest in seconds."""

    count: int
    oldest_s: float


class Resume(msgspec.Struct, frozen=True):
    """How much may pass while it recovers: percent of customers, chosen by a hash of the customer."""

    ramp_percent: int


class StatusCheck(msgspec.Struct, frozen=True):
    """The leash of status inquiries, so that no bank's polls become the next outage."""

    first_after_s: float
    max: int
    within_s: float


class Statement(msgspec.Struct, frozen=True):
    """One corridor at one instant; `seq` rises strictly for each corridor. Instants in ms since 1970 UTC."""

    operator: str
    bank: str
    direction: str
    decision: Decision
    since_ms: int
    reason: list[str]
    incident: str | None
    evidence: Evidence
    backlog: Backlog
    resume: Resume
    status_check: StatusCheck
    seq: int
    issued_at_ms: int
    expires_at_ms: int
    next_update_by_ms: int
    schema: str = SCHEMA


class Acknowledged(msgspec.Struct, frozen=True):
    """What a bank answers: the highest number that it knows for this corridor."""

    last_seq: int


class StatementRefused(ValueError):
    """Not a statement that counts; `code` is a machine word, the text says which rule."""

    def __init__(self, code: str, rule: str) -> None:
        super().__init__(rule)
        self.code = code


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement's bytes and their headers; the id stays the same when they are sent again."""

    body: bytes
    headers: dict[str, str]

    def file(self) -> bytes:
        """The same as one JSON document, for a static file: `body` is the text that is signed."""
        return msgspec.json.encode({"headers": self.headers, "body": self.body.decode()})


def sign(statement: Statement, key: Ed25519PrivateKey, now_s: int) -> Signed:
    """The document and the headers that carry its signature."""
    body = msgspec.json.encode(statement)
    message_id = f"stm_{statement.bank}_{statement.seq}"
    signature = key.sign(_signed_bytes(message_id, now_s, body))
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"{VERSION},{base64.b64encode(signature).decode()}",
    }
    return Signed(body, headers)


def verify(body: bytes, headers: Mapping[str, str], keys: list[Ed25519PublicKey], now_ms: int) -> Statement:
    """The statement, where one of `keys` signed exactly these bytes and it has not expired; header names are lower
    case. Raises StatementRefused."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not stamp.isascii() or not stamp.isdecimal() or len(stamp) > 12:
        raise StatementRefused("headers_missing", "webhook-id and webhook-timestamp (whole seconds) are required")
    if abs(now_ms // 1000 - int(stamp)) > WINDOW_S:
        raise StatementRefused("signature_stale", f"webhook-timestamp lies within {WINDOW_S} s of our clock")
    signed = _signed_bytes(message_id, int(stamp), body)
    if not any(_fits(one, signed, keys) for one in headers.get("webhook-signature", "").split(" ")[:SIGNATURES_MAX]):
        raise StatementRefused("signature_wrong", f"no {VERSION} signature by a known key over exactly these bytes")
    try:
        statement = msgspec.json.decode(body, type=Statement)
    except msgspec.MsgspecError as error:
        raise StatementRefused("statement_unread", str(error)) from error
    if statement.schema != SCHEMA:
        raise StatementRefused("schema_unknown", f"schema is {SCHEMA}")
    if now_ms >= statement.expires_at_ms:
        raise StatementRefused("statement_expired", "an expired statement says nothing")
    return statement


def _signed_bytes(message_id: str, stamp_s: int, body: bytes) -> bytes:
    return f"{message_id}.{stamp_s}.".encode() + body


def _fits(signature: str, signed: bytes, keys: list[Ed25519PublicKey]) -> bool:
    version, _, text = signature.partition(",")
    if version != VERSION:
        return False
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    for key in keys:
        try:
            key.verify(raw, signed)
        except InvalidSignature:
            continue
        return True
    return False
