"""The bank's door: `POST /iso20022` for every message, `POST /quote`; signed in, signed out.

Signature first, over the raw bytes; then the root element decides. Two kinds of refusal: one that follows from
the bytes alone, about ids that nobody holds, is a pacs.002 RJCT and final; everything else (signature, conflict,
busy, unknown) is an admi.002 that names field and rule and says nothing about any transfer.
"""

from collections.abc import Awaitable, Callable
from math import ceil

import msgspec

from hakika import clock
from hakika.channels.door import Request, Response, Route
from hakika.domain.intake import Conflict
from hakika.domain.money import AmountRefused, minor_digits
from hakika.services.flusher import Busy
from hakika.services.gateway.acts import Acts, Inquired, Leashed, UnknownReturn
from hakika.services.gateway.admission import Admission
from hakika.services.gateway.answers import PACS_008, Signer, acceptance
from hakika.services.gateway.banks import Bank, Banks
from hakika.services.gateway.intake import Intake, arrived
from hakika.services.gateway.quotes import Quotes
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.signals import HARMLESS
from hakika.store.lane import StoreFault
from hakika.wire.bank_api import QuoteRequest
from hakika.wire.iso20022.messages import (
    Cancellation,
    CancellationStatus,
    CreditTransferMessage,
    MessageReject,
    ReturnAcknowledgement,
    StatusInquiry,
    StatusItem,
    StatusReport,
    TxStatus,
)
from hakika.wire.iso20022.reading import MessageRefused, read
from hakika.wire.iso20022.writing import write_cancellation_status, write_reject, write_status_report
from hakika.wire.jws import SignatureRefused, sign_detached, verify_detached

XML = "application/xml"
BODY_MAX = 5_000_000
INTAKE_DEADLINE_S = 4.0
NO_REFERENCE = "NOTPROVIDED"
PACS_008_NAME, NAMED_WITHIN = b"xsd:pacs.008.", 512  # in the namespace of the root element, near the start
FULL_KEPT_S = 0.5
MOVE_EVERY_S = 0.1  # machine timer: of those who are told so, one in so long is asked to connect anew

Incoming = CreditTransferMessage | StatusInquiry | ReturnAcknowledgement | Cancellation


class BankChannel:
    """Authenticate, decode, call one service, encode."""

    def __init__(
        self,
        *,
        banks: Banks,
        intake: Intake,
        acts: Acts,
        quotes: Quotes,
        signer: Signer,
        allow: Callable[[str], float],
        pace: Callable[[str], float],
        admission: Admission,
        signals: GatewaySignals | None = None,
    ) -> None:
        """`allow` and `pace` give 0.0 or seconds to wait: an address with bad signatures, a bank that sends too fast.

        `admission` says when no fresh message is taken. `signals` count what is answered to those whose signature is
        right; strangers are nobody's evidence.
        """
        self._admission = admission
        self._full: tuple[float, Response] | None = None
        self._moved_s = float("-inf")
        self._banks = banks
        self._intake = intake
        self._acts = acts
        self._quotes = quotes
        self._signer = signer
        self._allow = allow
        self._pace = pace
        self._signals = signals or GatewaySignals()

    def routes(self) -> list[Route]:
        """The two routes of a bank."""
        return [
            Route("POST", "/iso20022", self._guarded(self._message), body_max=BODY_MAX, translate=self._translated),
            Route("POST", "/quote", self._guarded(self._quote), body_max=4096),
        ]

    def _guarded(
        self, handle: Callable[[Request, Bank], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Check the signature before anything is parsed, and turn our own troubles into non-final answers."""

        async def guarded(request: Request) -> Response:
            if PACS_008_NAME in request.body[:NAMED_WITHIN] and self._admission.full():
                return self._too_much()
            now_ms = clock.now_ms()
            try:
                signature = request.headers.get("x-jws-signature", "")
                verified = verify_detached(signature, request.body, self._banks.key, now_ms // 1000)
            except SignatureRefused as refused:
                wait_s = self._allow(request.client)
                if wait_s > 0:
                    return self._reject(429, "too_many_refused", None, "too many refused signatures", retry_s=wait_s)
                return self._reject(401, refused.code, "X-JWS-Signature", refused.rule)
            bank = self._banks.owner(verified.kid)
            wait_s = self._pace(bank.id)
            if wait_s > 0:
                rule = "more messages a second than were agreed; nothing is decided; send the same bytes again"
                return self._reject(429, "too_fast", None, rule, retry_s=wait_s)
            try:
                answer = await handle(request, bank)
            except (Busy, StoreFault) as fault:
                self._count(request, 503, "busy" if isinstance(fault, Busy) else "store_fault")
                rule = "the message was not answered; nothing is decided; send the same bytes again"
                return self._reject(503, "busy", None, f"{rule} ({type(fault).__name__})", retry_s=1)
            self._count(request, answer.status)
            return answer

        return guarded

    def _count(self, request: Request, status: int, reason: str = "busy") -> None:
        """Count an answer, unless the request is about a wallet of synthetic tests."""
        with HARMLESS:
            if not self._signals.names_test(request.body):
                self._signals.counts.now_ms()
                self._signals.bank_api.answered(status, reason)

    async def _message(self, request: Request, bank: Bank) -> Response:
        try:
            message = read(request.body)
            if isinstance(message, CreditTransferMessage):
                self._check_ours(bank, message)
        except MessageRefused as refused:
            return await self._refused(bank, refused)
        match message:
            case CreditTransferMessage():
                return await self._credit(request, bank, message)
            case StatusInquiry():
                return await self._inquiry(bank, message)
            case ReturnAcknowledgement():
                unknown = await self._acts.acknowledge(bank.id, message)
                if isinstance(unknown, UnknownReturn):
                    return self._reject(409, "return_unknown", unknown.field, unknown.rule, reference=message.msg_id)
                return self._signed(204, b"")
            case Cancellation():
                return await self._recall(bank, message)

    def _check_ours(self, bank: Bank, message: CreditTransferMessage) -> None:
        """What the schema cannot know: the debtor's agent is who signed. A key never changes its bank."""
        for index, transfer in enumerate(message.transfers, start=1):
            if transfer.debtor_agent != bank.id:
                field = f"CdtTrfTxInf[{index}]/DbtrAgt/FinInstnId"
                rule = f"must be the bank that signed, {bank.id}"
                uetrs = tuple(t.uetr for t in message.transfers)
                raise MessageRefused("RC01", field, rule, msg_id=message.msg_id, message_name=PACS_008, uetrs=uetrs)

    async def _refused(self, bank: Bank, refused: MessageRefused) -> Response:
        """A refusal by the bytes alone: RJCT, unless any of its ids is known; then a conflict without a status."""
        about_credit = refused.message_name in (None, PACS_008)
        named = bool(refused.uetrs or refused.msg_id) and about_credit
        if named and await self._acts.any_known(bank.id, refused.uetrs, refused.msg_id):
            rule = f"{refused.rule}; an id of this message is in custody already: ask by pacs.028"
            return self._reject(409, "id_conflict", refused.field, rule, reference=refused.msg_id)
        if not about_credit or not refused.ids_complete:
            return self._reject(400, "refused", refused.field, refused.rule, reference=refused.msg_id)
        report = StatusReport(
            msg_id=clock.new_id().hex,
            created_ms=clock.now_ms(),
            original_msg_id=refused.msg_id or NO_REFERENCE,
            original_msg_name=PACS_008,
            group_status=TxStatus.REJECTED,
            group_reason=refused.code,
            group_detail=f"{refused.field}: {refused.rule}",
            items=(),
        )
        return self._signed(400, write_status_report(report))

    async def _credit(self, request: Request, bank: Bank, message: CreditTransferMessage) -> Response:
        signature = request.headers["x-jws-signature"]
        fresh = arrived(bank, message, request.body, signature)
        with self._admission.arriving(fresh):
            taken = await self._intake.take(fresh, deadline_s=INTAKE_DEADLINE_S)
        if isinstance(taken, Conflict):
            return self._reject(409, taken.code, taken.field, taken.rule, reference=message.msg_id)
        body, receipt = acceptance(taken, self._signer)
        return self._signed(202, body, (("x-custody-receipt", receipt),))

    async def _inquiry(self, bank: Bank, message: StatusInquiry) -> Response:
        found = await self._acts.inquire(bank.id, message)
        if found is None:
            rule = "not in custody here; this is no evidence: send the pacs.008 again, same bytes"
            return self._reject(404, "unknown_id", "TxInf/OrgnlUETR", rule, reference=message.msg_id)
        if isinstance(found, Leashed):
            rule = "asked too early or too often; the answer is pushed as soon as there is one"
            return self._reject(429, "leash", None, rule, reference=message.msg_id, retry_s=found.retry_after_s)
        if found.return_body is not None:
            return self._signed(200, found.return_body)
        return self._signed(200, write_status_report(_present(found)))

    async def _recall(self, bank: Bank, message: Cancellation) -> Response:
        recalled = await self._acts.recall(bank.id, message)
        if recalled.status is None:
            rule = "not known since our log was restored; send the pacs.008 again, same bytes, then the recall"
            return self._reject(404, "unknown_id", "Undrlyg/TxInf/OrgnlUETR", rule, reference=message.assignment_id)
        answer = CancellationStatus(
            assignment_id=clock.new_id().hex,
            created_ms=clock.now_ms(),
            bank=bank.id,
            cancellation_ids=(message.cancellation_id,),
            uetr=message.uetr,
            original_msg_id=message.original_msg_id,
            end_to_end_id=message.end_to_end_id,
            status=recalled.status,
            reason=recalled.reason,
        )
        return self._signed(200, write_cancellation_status(answer))

    async def _quote(self, request: Request, bank: Bank) -> Response:
        try:
            asked = msgspec.json.decode(request.body, type=QuoteRequest)
            minor_digits(asked.currency)
            if asked.amount_minor <= 0:
                raise AmountRefused("amount_minor: an amount is greater than zero")
        except (msgspec.MsgspecError, AmountRefused) as error:
            body = msgspec.json.encode({"title": "Quote refused", "status": 400, "detail": str(error)})
            return self._signed(400, body, content_type="application/problem+json")
        answer = await self._quotes.quote(bank, asked)
        return self._signed(200, msgspec.json.encode(answer), content_type="application/json")

    def _too_much(self) -> Response:
        """No fresh message now: said before a signature is verified, in the same words to all for a while.

        It has to cost little, and it says nothing that a stranger may not know. Now and then one is asked to connect
        anew, where a balancer may lead it to a process with less to do: connections that are kept stay where they are,
        and all those of a process that died are with the others long after it is back.
        """
        now_s = clock.monotonic_s()
        if self._full is None or now_s - self._full[0] > FULL_KEPT_S:
            rule = "more is under way than can end in time; nothing is stored; send the same bytes again"
            self._full = now_s, self._reject(503, "too_much", None, rule, retry_s=1)
        full = self._full[1]
        if now_s - self._moved_s < MOVE_EVERY_S:
            return full
        self._moved_s = now_s
        return Response(full.status, full.body, full.content_type, (*full.headers, ("connection", "close")))

    def _translated(self, refusal: Response) -> Response:
        """The door's own refusal (too large, too slow, too busy) as an admi.002."""
        if refusal.status >= 500:
            with HARMLESS:
                self._signals.counts.now_ms()
                self._signals.bank_api.answered(refusal.status, "internal" if refusal.status == 500 else "busy")
        told = msgspec.json.decode(refusal.body)
        rule = f"{told.get('title', '')}: {told.get('rule', '')}".rstrip(": ")
        answer = self._reject(refusal.status, "refused_at_the_door", told.get("field"), rule)
        kept = tuple(header for header in refusal.headers if header[0] in ("retry-after", "connection"))
        return Response(answer.status, answer.body, answer.content_type, (*answer.headers, *kept))

    def _reject(
        self,
        status: int,
        code: str,
        field: str | None,
        rule: str,
        *,
        reference: str | None = None,
        retry_s: float | None = None,
    ) -> Response:
        reject = MessageReject(reference or NO_REFERENCE, str(code), clock.now_ms(), field, rule)
        headers = (("retry-after", str(max(1, ceil(retry_s)))),) if retry_s is not None else ()
        return self._signed(status, write_reject(reject), headers)

    def _signed(
        self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = (), *, content_type: str = XML
    ) -> Response:
        signature = sign_detached(body, self._signer.key, self._signer.kid, clock.now_ms() // 1000)
        return Response(status, body, content_type, (*headers, ("x-jws-signature", signature)))


_PRESENT = {
    "RECEIVED": TxStatus.RECEIVED,
    "IN_FLIGHT": TxStatus.IN_FLIGHT,
    "COMPLETED": TxStatus.COMPLETED,
    "RETURNED": TxStatus.IN_FLIGHT,  # its pacs.004 is being written: the next inquiry gets it
    "REJECTED": TxStatus.REJECTED,
}


def _present(found: Inquired) -> StatusReport:
    row = found.row
    item = StatusItem(
        uetr=row.uetr,
        original_msg_id=row.msg_id or NO_REFERENCE,
        end_to_end_id=row.end_to_end_id or NO_REFERENCE,
        instruction_id=row.instruction_id,
        transaction_id=row.transaction_id,
        status=TxStatus.IN_FLIGHT if row.status == "RECEIVED" and row.burn_first else _PRESENT[row.status],
        accepted_ms=row.received_ms,
    )
    return StatusReport(clock.new_id().hex, clock.now_ms(), None, PACS_008, None, None, None, (item,))
