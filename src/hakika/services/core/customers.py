"""Wallets, positions and accounts as people ask about them: opened, looked at, blocked. No money moves here.

Telephone numbers are checked by the numbering plans of their countries, once, when a wallet is opened.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import phonenumbers

from hakika import clock
from hakika.domain.reasons import Reason
from hakika.domain.tariff import amount_refusal, fee_minor, tariff_for
from hakika.store.core import owners
from hakika.store.core.batches import Connection
from hakika.store.core.owners import AccountRow, PositionRow, StatementLine, WalletRow
from hakika.store.lane import Lanes
from hakika.wire.core_api import NameAnswer, NameQuery

T = TypeVar("T")

CUSTOMER_S = 1.5  # machine timer
PAGE_MAX = 200


def is_msisdn(text: str) -> bool:
    """True for the E.164 digits, without +, of a number that its country's plan allows."""
    if not (text.isascii() and text.isdigit() and 7 <= len(text) <= 15):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(f"+{text}"))
    except phonenumbers.NumberParseException:
        return False


class Customers:
    """Openings and look-ups; every call within CUSTOMER_S, StoreFault or NoAnswer when there is no database."""

    def __init__(self, lanes: Lanes, currency: str) -> None:
        self._lanes = lanes
        self._currency = currency

    async def open_wallet(self, msisdn: str, name: str, currency: str) -> tuple[WalletRow, bool]:
        """The wallet and whether it is new; asking again is harmless, its name stays the first."""
        ceiling = tariff_for(currency).balance_limit_minor

        async def work(connection: Connection) -> tuple[WalletRow, bool]:
            return await owners.open_wallet(connection, msisdn, name, currency, ceiling, clock.now_ms())

        return await self._run(work)

    async def wallet(self, msisdn: str) -> list[WalletRow]:
        """Every currency of a wallet; empty when there is none."""

        async def work(connection: Connection) -> list[WalletRow]:
            return await owners.wallets(connection, msisdn)

        return await self._run(work)

    async def set_wallet_status(self, msisdn: str, status: str) -> bool:
        """Open, block or close a wallet for credits. False when there is none."""

        async def work(connection: Connection) -> bool:
            return await owners.set_wallet_status(connection, msisdn, status)

        return await self._run(work)

    async def open_position(self, bank: str, currency: str) -> tuple[PositionRow, bool]:
        """The bank's position and whether it is new."""

        async def work(connection: Connection) -> tuple[PositionRow, bool]:
            return await owners.open_position(connection, bank, currency, clock.now_ms())

        return await self._run(work)

    async def positions(self, bank: str) -> list[PositionRow]:
        """Every currency of a bank's position; empty when there is none."""

        async def work(connection: Connection) -> list[PositionRow]:
            return await owners.positions(connection, bank)

        return await self._run(work)

    async def account(self, number: int) -> AccountRow | None:
        """One account with its balances."""

        async def work(connection: Connection) -> AccountRow | None:
            return await owners.account(connection, number)

        return await self._run(work)

    async def statement(self, number: int, before: bytes | None, limit: int) -> list[StatementLine]:
        """A page of an account's entries, the latest first; at most PAGE_MAX."""

        async def work(connection: Connection) -> list[StatementLine]:
            return await owners.statement(connection, number, before, min(limit, PAGE_MAX))

        return await self._run(work)

    async def name(self, query: NameQuery) -> NameAnswer:
        """Who would be credited at what fee, and why a credit would be refused now."""
        rows = {row.currency: row for row in await self.wallet(query.msisdn)}
        if not rows:
            return NameAnswer(known=False, reason=Reason.WALLET_UNKNOWN)
        name = next(iter(rows.values())).name
        terms = tariff_for(query.currency)
        fee = fee_minor(terms, query.amount_minor)
        row = rows.get(query.currency)
        if row is None:
            return NameAnswer(known=True, name=name, reason=Reason.CURRENCY_MISMATCH)
        refusal = _status_refusal(row) or amount_refusal(terms, query.amount_minor)
        held = row.credits_posted + row.credits_pending - row.debits_posted
        if refusal is None and row.ceiling is not None and held + query.amount_minor - fee > row.ceiling:
            refusal = Reason.BALANCE_LIMIT
        return NameAnswer(known=True, name=name, fee_minor=fee, reason=refusal)

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._lanes.run(work, deadline_s=CUSTOMER_S)


def _status_refusal(row: WalletRow) -> Reason | None:
    match row.status:
        case "closed":
            return Reason.WALLET_CLOSED
        case "blocked":
            return Reason.WALLET_BLOCKED
        case _:
            return None
