"""The customer's side of the bank: a wish to pay becomes a debit with its message in the outbox, or a plain no.

A bank that asks first debits only on the quote `now`, and asks nobody while the operator's health has told it to hold
its corridor; a bank that sends throughout debits whenever the account covers it. One request id is one debit: asked
again, it gets the first answer. A request that did not debit may be asked again under the same id. Debits gathered
into one message share its commit.
"""

import asyncio
import logging
import re
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from hakika import clock
from hakika.counterparties import bookings
from hakika.counterparties.bookings import Debit, NotDebited, Order
from hakika.counterparties.books import Books, BooksBusy
from hakika.counterparties.gateway import Gateway, NoAnswer
from hakika.counterparties.messages import instruction_body
from hakika.counterparties.notices import LANGUAGES
from hakika.counterparties.sender import Sender
from hakika.counterparties.statements import Statements
from hakika.domain.money import AMOUNT_MINOR_MAX
from hakika.wire.bank_api import QuoteAnswer

log = logging.getLogger(__name__)

MSISDN = re.compile(r"[1-9][0-9]{7,14}", re.ASCII)
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
NAME_MAX = 140
GATHERED_MAX = 4096


class TransferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a customer's app sends."""

    request_id: str
    creditor_msisdn: str
    creditor_name: str
    amount_minor: int
    currency: str
    language: str | None = None


class RequestRefused(ValueError):
    """The request cannot be understood as an order; `field` and `rule` say why. Nothing was written."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Outcome:
    """The debit or the no, with the corridor's advice where the bank asked."""

    debit: Debit
    advice: str | None = None


def order_of(customer: int, asked: TransferRequest, currency: str) -> Order:
    """A checked order with fresh ids; RequestRefused names the first field that breaks a rule."""
    if REQUEST_ID.fullmatch(asked.request_id) is None:
        raise RequestRefused("request_id", "1 to 64 letters, digits or . _ : -")
    if MSISDN.fullmatch(asked.creditor_msisdn) is None:
        raise RequestRefused("creditor_msisdn", "E.164 digits without +: 8 to 15, the first not 0")
    name = asked.creditor_name
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise RequestRefused("creditor_name", f"1 to {NAME_MAX} printable characters")
    if not 0 < asked.amount_minor <= AMOUNT_MINOR_MAX:
        raise RequestRefused("amount_minor", f"a whole number of minor units from 1 to {AMOUNT_MINOR_MAX}")
    if asked.currency != currency:
        raise RequestRefused("currency", f"accounts here are in {currency}")
    if asked.language is not None and asked.language not in LANGUAGES:
        raise RequestRefused("language", f"one of {', '.join(LANGUAGES)}")
    return Order(
        asked.request_id, customer, asked.creditor_msisdn, name.strip(), asked.amount_minor, asked.currency,
        asked.language, str(clock.new_uetr()), clock.new_id().hex,
    )  # fmt: skip


class Desk:
    """Takes orders for one bank."""

    def __init__(
        self,
        bank: str,
        books: Books,
        gateway: Gateway,
        sender: Sender,
        statements: Statements,
        *,
        asks_first: bool,
        per_message: int,
        gather_s: float,
        test_wallets: frozenset[str] = frozenset(),
    ) -> None:
        """Orders to `test_wallets` are debited unasked: held back, no test could see that a corridor works again."""
        self._bank = bank
        self._books = books
        self._gateway = gateway
        self._sender = sender
        self._statements = statements
        self._asks_first = asks_first
        self._test_wallets = test_wallets
        self._per_message = per_message
        self._gather_s = gather_s
        self._gathered: asyncio.Queue[tuple[Order, asyncio.Future[Debit]]] = asyncio.Queue(GATHERED_MAX)

    async def quote(self, order: Order) -> QuoteAnswer | None:
        """What the gateway says before a debit; None when it says nothing that counts."""
        try:
            return await self._gateway.quote(order.creditor_msisdn, order.amount_minor, order.currency)
        except NoAnswer as error:
            log.info("no quote: %s", error)
            return None

    async def pay(self, order: Order) -> Outcome:
        """Debit, or say why not. BooksBusy: nothing was written. BooksUnanswered: ask again by the same id."""
        advice = None
        if self._asks_first and order.creditor_msisdn not in self._test_wallets:
            known = bookings.known_request(self._books.reader, order)
            if known is not None:
                return Outcome(known)
            if self._statements.may_debit(order.customer) is False:
                return Outcome(NotDebited("corridor_held"), "HOLD")
            answer = await self.quote(order)
            if answer is None:
                return Outcome(NotDebited("no_answer_from_gateway"), "HOLD")
            advice = answer.advice
            if answer.answer != "now" or answer.reason is not None:
                return Outcome(NotDebited(answer.reason or f"corridor_{answer.answer}"), advice)
        if self._per_message == 1:
            (result,) = await self._debit([order])
        else:
            result = await self._gather(order)
        return Outcome(result, advice)

    async def run(self) -> None:
        """Fill messages of several transfers until cancelled; idle where each message carries one."""
        while True:
            batch = [await self._gathered.get()]
            with suppress(TimeoutError):
                async with asyncio.timeout(self._gather_s):
                    while len(batch) < self._per_message:
                        batch.append(await self._gathered.get())
            await self._debit_gathered(batch)

    async def _debit(self, orders: list[Order]) -> list[Debit]:
        """One commit; the message that it put into the outbox is handed to the sender."""
        msg_id = clock.new_id().hex
        results = await self._books.submit(
            "debit",
            lambda conn: bookings.debit(conn, orders, self._bank, msg_id, instruction_body, clock.now_ms()),
        )
        new = {result.outbox_id for result in results if isinstance(result, bookings.Debited)}
        for outbox_id in new:
            if outbox_id is not None:
                self._sender.add(outbox_id)
        return results

    async def _gather(self, order: Order) -> Debit:
        answer: asyncio.Future[Debit] = asyncio.get_running_loop().create_future()
        try:
            self._gathered.put_nowait((order, answer))
        except asyncio.QueueFull:
            raise BooksBusy("too many orders wait") from None
        return await answer

    async def _debit_gathered(self, batch: list[tuple[Order, "asyncio.Future[Debit]"]]) -> None:
        waiting = [(order, answer) for order, answer in batch if not answer.done()]
        try:
            results = await self._debit([order for order, _ in waiting])
        except Exception as error:  # noqa: BLE001 - each caller hears what became of the common commit
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), result in zip(waiting, results, strict=True):
            if not answer.done():
                answer.set_result(result)
