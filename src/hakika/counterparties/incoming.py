"""What the gateway sends by itself or answers to an inquiry: pacs.002, pacs.004, camt.029, read by their root.

The signature is verified before a byte is parsed. A message is answered with 2xx only after its commit, also
when it contradicts our books: the contradiction is in the books then, and a return that we refuse is answered
by a pacs.002 of its own. Only what cannot be verified or read is refused.
"""

import asyncio
from dataclasses import dataclass

from hakika.counterparties import answers
from hakika.counterparties.bookings import Statement
from hakika.counterparties.books import BooksBusy, BooksUnanswered
from hakika.counterparties.door import Request, Response, Silence, problem
from hakika.counterparties.faults import Faults
from hakika.counterparties.gateway import SIGNATURE, Gateway
from hakika.counterparties.sender import Sender
from hakika.wire.iso20022 import reading_bank
from hakika.wire.iso20022.messages import CancellationStatus, PaymentReturn, StatusReport
from hakika.wire.jws import SignatureRefused

RETRY_AFTER_S = 1


class MessageUnread(Exception):
    """Not a message that a bank takes from its gateway; `field` and `rule` say why."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


def read_statements(body: bytes) -> list[Statement]:
    """What a verified message says about transfers; none for a camt.029. MessageUnread names field and rule."""
    try:
        message = reading_bank.read_answer(body)
    except reading_bank.MessageRefused as error:
        raise MessageUnread(error.field, error.rule) from error
    match message:
        case StatusReport():
            return answers.of_report(message)
        case PaymentReturn():
            return [answers.of_return(message)]
        case CancellationStatus():
            return []
        case _:
            raise MessageUnread("Document", "pacs.002, pacs.004 or camt.029")


@dataclass(frozen=True, slots=True)
class Incoming:
    """The handler of `POST /iso20022`."""

    gateway: Gateway
    sender: Sender
    faults: Faults

    async def __call__(self, request: Request) -> Response | Silence:
        """204 after the commit; 401, 400 or 503 where nothing was booked."""
        if self.faults.unreachable_for_s():
            return Silence()
        try:
            evidence = self.gateway.verified(request.body, request.headers.get(SIGNATURE))
            statements = read_statements(request.body)
        except SignatureRefused as error:
            return problem(401, "The signature is not accepted", "X-JWS-Signature", error.rule, code=error.code)
        except MessageUnread as error:
            return problem(400, "The message cannot be read", error.field, error.rule)
        try:
            await self.sender.book("final", evidence, statements)
        except (BooksBusy, BooksUnanswered) as error:
            return problem(503, "Not booked", rule=str(error), headers=(("retry-after", str(RETRY_AFTER_S)),))
        self.faults.crash_point("before_callback_answer")
        await asyncio.sleep(self.faults.callback_delay_s())
        if self.faults.callback_unanswered() or self.faults.unreachable_for_s():
            return Silence()
        return Response(204)
