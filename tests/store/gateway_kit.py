"""Rows of the gateway's database written by plain SQL, with none of the code under test in between."""

from dataclasses import dataclass, field
from itertools import count
from threading import Barrier
from typing import Any, Protocol
from uuid import UUID

import psycopg

from hakika.store.embedded import RoleAccess
from hakika.store.server_roles import Role

FIRST, SECOND = UUID(int=0xA1), UUID(int=0xA2)  # two holders of leases
RECEIVED_MS, VALID_UNTIL_MS, RETURN_AT_MS, DEADLINE_MS = 1_000, 2_000, 3_000, 4_000

Values = tuple[Any, ...]
ADD_TRANSFER = """
INSERT INTO transfer (id, bank, uetr, tracking, content_sha256, msg_id, end_to_end_id, amount_minor, currency,
    creditor_msisdn, received_ms, valid_until_ms, return_at_ms, deadline_ms, status, status_ms, reason)
VALUES (%(id)s, %(bank)s, %(uetr)s, %(tracking)s, %(content)s, 'M1', 'E1', %(amount)s, %(currency)s,
    %(msisdn)s, %(received)s, %(valid)s, %(return_at)s, %(deadline)s, %(status)s, 1000, %(reason)s)
"""
ADD_ATTEMPT = """
INSERT INTO attempt (id, transfer, number, recorded_ms, lease_holder, lease_token, lease_until_ms, outcome, closed_ms)
VALUES (%s, %s, %s, 1000, %s, %s, 1500, %s, %s)
"""
ADD_FIRST = """
INSERT INTO attempt (id, transfer, number, recorded_ms, lease_holder, lease_until_ms)
VALUES (%(uetr)s, %(id)s, 1, 1000, %(uetr)s, 1500)
"""
CLOSE = """
UPDATE attempt SET outcome = %s, reason = %s, closed_ms = 1600, closed_by = %s, closed_token = %s,
    core_incarnation = 1, chain_slot = 0, chain_seq = 7, chain_head = 'h' WHERE id = %s
"""
CLOSE_UNSENT = (
    "UPDATE attempt SET outcome = 'not_sent', closed_ms = 1600, closed_by = %s, closed_token = %s WHERE id = %s"
)
TAKE_OVER = "UPDATE attempt SET lease_holder = %s, lease_token = lease_token + 1 WHERE id = %s"
ADD_RETURN = """
INSERT INTO payment_return (transfer, return_id, reason, decided_ms, acknowledged_ms, burn_due)
VALUES (%s, %s, 'deadline_passed', 3000, NULL, %s)
"""
SET_STATUS = "UPDATE transfer SET status = %s, reason = 'x' WHERE id = %s"
ADD_MESSAGE = """
INSERT INTO message (bank, msg_id, body_sha256, body, signature, received_ms, receipt_kid, uetrs)
VALUES ('bank-a', %s, %s, 'body', 'signature', 1000, 'gateway-1', %s)
"""
ADD_OUTGOING = """
INSERT INTO outgoing_message (msg_id, bank, kind, body, created_ms, next_send_ms)
VALUES (%s, 'bank-a', 'status', 'bytes', 1000, 1000)
"""
ADD_FACT = "INSERT INTO outbox (transfer, bank, kind, fact, created_ms) VALUES (%s, 'bank-a', %s, '{}', 1000)"
ADD_TOLD = (
    "INSERT INTO outbox (transfer, bank, kind, fact, created_ms, msg_id) VALUES (%s, 'bank-a', 'final', '{}', 1000, %s)"
)
ADD_BREAK = "INSERT INTO reconciliation_break (transfer, kind, evidence, opened_ms) VALUES (%s, 'k', '{}', 1)"
ADD_RECALL = "INSERT INTO recall VALUES ('bank-a', %s, %s, 'A1', 'DUPL', 1000)"
ADD_KEY = "INSERT INTO bank_key (kid, bank, public_key, added_ms) VALUES (%s, 'bank-a', %s, 1)"
BANKS = (
    "INSERT INTO bank VALUES ('bank-a', 'Bank A', 'http://a', 'house-4h'), ('bank-b', 'Bank B', 'http://b', 'house-4h')"
)


class Templates(Protocol):
    """The fixture `templates`: as many databases as a module wants."""

    def copy(self, role: Role, *, migrated: bool = True) -> RoleAccess:
        """A fresh migrated database."""

    def drop(self, database: RoleAccess) -> None:
        """Remove it."""


@dataclass
class Sql:
    """Connections of the application, the owner and a reader of one database, each statement a commit."""

    database: RoleAccess
    app: psycopg.Connection[Any]
    owner: psycopg.Connection[Any]
    reader: psycopg.Connection[Any]
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    barrier: Barrier = field(default_factory=lambda: Barrier(2))  # where two sessions meet

    @classmethod
    def open(cls, database: RoleAccess) -> "Sql":
        """Connect all three, with two banks there already."""
        urls = (database.app_url, database.owner_url, database.reader_url)
        app, owner, reader = (psycopg.connect(url, autocommit=True) for url in urls)
        app.execute(BANKS)
        return cls(database, app, owner, reader)

    def close(self) -> None:
        """Close all three."""
        for connection in (self.app, self.owner, self.reader):
            connection.close()

    def fresh(self) -> UUID:
        """Another id."""
        return UUID(int=next(self.numbers) << 64 | 0x4000_8000_0000_0000)

    def transfer_values(self, **other: Any) -> dict[str, Any]:
        """Values of a sound row, some of them replaced."""
        values: dict[str, Any] = {
            "id": self.fresh(), "bank": "bank-a", "uetr": self.fresh(), "tracking": self.fresh().bytes,
            "content": b"c" * 32, "amount": 500, "currency": "KES", "msisdn": "254712345678", "received": RECEIVED_MS,
            "valid": VALID_UNTIL_MS, "return_at": RETURN_AT_MS, "deadline": DEADLINE_MS, "status": "RECEIVED",
            "reason": None,
        }  # fmt: skip
        return {**values, **other}

    def transfer(self, status: str = "RECEIVED") -> UUID:
        """A transfer in custody, moved to `status` as a life would."""
        begins = "REJECTED" if status == "REJECTED" else "RECEIVED"
        values = self.transfer_values(status=begins, reason="tombstoned" if begins == "REJECTED" else None)
        self.app.execute(ADD_TRANSFER, values)
        found: UUID = values["id"]
        return self.move(found, status) if status != begins else found

    def move(self, transfer: UUID, status: str) -> UUID:
        """Give a held transfer the facts of a status, and the status."""
        if status == "COMPLETED":
            self.closed(transfer, "posted")
        elif status == "RETURNED":
            self.returned(transfer)
        self.app.execute(SET_STATUS, (status, transfer))
        return transfer

    def attempt(self, transfer: UUID, number: int = 1) -> UUID:
        """An open attempt under its first lease."""
        found = self.fresh()
        self.app.execute(ADD_ATTEMPT, (found, transfer, number, FIRST, 1, None, None))
        return found

    def closed(self, transfer: UUID, outcome: str, number: int = 1) -> UUID:
        """An attempt with the core's stored answer."""
        found = self.attempt(transfer, number)
        self.app.execute(CLOSE, (outcome, "wallet_unknown", FIRST, 1, found))
        return found

    def returned(self, transfer: UUID, *, burn_due: bool = False) -> UUID:
        """The return of a transfer."""
        self.app.execute(ADD_RETURN, (transfer, "RTR" + transfer.hex, burn_due))
        return transfer
