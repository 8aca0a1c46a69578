"""What the operator says about our corridor, kept while it is fresh: whether to debit at all.

A statement counts when the operator's key signed it, it has not expired and its number is higher than the last one;
so neither a forged HOLD nor an old OPEN played again moves anything. When none is fresh the bank is on its own: it
asks for a quote before a debit, as it would without all this. A HOLD never stops the sending of what is debited.
"""

import hashlib
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hakika import clock
from hakika.counterparties.door import Request, Response, Route, problem
from hakika.wire.statements import Acknowledged, Statement, StatementRefused, verify

BODY_MAX = 8192


@dataclass(slots=True)
class Statements:
    """The last statement about this bank's corridor."""

    bank: str
    keys: list[Ed25519PublicKey]
    last: Statement | None = None
    refused: dict[str, int] = field(default_factory=dict)  # by code, since start

    def routes(self) -> list[Route]:
        """Where the operator's health pushes."""
        return [Route("POST", "/statements", self.receive)]

    async def receive(self, request: Request) -> Response:
        """Keep a statement that counts; answer with the highest number that is known."""
        try:
            if len(request.body) > BODY_MAX:
                raise StatementRefused("too_large", f"at most {BODY_MAX} bytes")
            statement = verify(request.body, request.headers, self.keys, clock.now_ms())
            if statement.bank != self.bank:
                raise StatementRefused("another_bank", f"bank is {self.bank}")
        except StatementRefused as error:
            self.refused[error.code] = self.refused.get(error.code, 0) + 1
            return problem(400, "Not a statement that counts", error.code, str(error))
        if self.last is None or statement.seq > self.last.seq:
            self.last = statement
        return Response(200, msgspec.json.encode(Acknowledged(self.last.seq)))

    def fresh(self) -> Statement | None:
        """The last statement while it holds."""
        held = self.last is not None and clock.now_ms() < self.last.expires_at_ms
        return self.last if held else None

    def may_debit(self, customer: int) -> bool | None:
        """Whether this customer may be debited now; None when nobody has said anything fresh."""
        statement = self.fresh()
        if statement is None:
            return None
        if statement.decision == "HOLD":
            return False
        if statement.decision == "TRICKLE":
            share = hashlib.sha256(f"{self.bank}/{customer}".encode()).digest()[0] * 100 // 256
            return share < statement.resume.ramp_percent
        return True
