"""The quote: what would happen to a transfer now, asked by a bank before it debits its customer.

`now` is said only while fresh transfers are flowing; `held` names the instant by which it would be final;
`not_now` means that it would only come back. The name is whole inside and masked before it leaves. When the
core cannot be asked, the answer says so by leaving name and fee out; it never waits longer than the name call.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from hakika import clock
from hakika.domain.deadlines import deadlines_for
from hakika.domain.masking import mask_name
from hakika.services.gateway.banks import Bank
from hakika.store.gateway import queues
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.bank_api import QuoteAnswer, QuoteRequest
from hakika.wire.core_api import NameAnswer, NameQuery

Advice = Literal["OPEN", "SLOW", "HOLD", "TRICKLE"]
SLOW_AFTER_S = 60.0  # policy: a backlog older than this is said before the debit
BACKLOG_DEADLINE_S = 0.5


class Quotes:
    """Answers quotes from the state of the corridor, the backlog and the core's name look-up."""

    def __init__(
        self,
        lanes: Lanes,
        *,
        scale: float,
        corridor: Callable[[str], tuple[bool, bool]],
        ask_name: Callable[[NameQuery], Awaitable[NameAnswer | None]],
    ) -> None:
        """`corridor(bank)` gives (fresh transfers flow, full speed); `ask_name` None when there is no answer."""
        self._lanes = lanes
        self._scale = scale
        self._corridor = corridor
        self._ask_name = ask_name

    async def quote(self, bank: Bank, request: QuoteRequest) -> QuoteAnswer:
        """The answer for one bank's customer."""
        advice = await self._advice(bank)
        named = await self._ask_name(NameQuery(request.creditor_msisdn, request.amount_minor, request.currency))
        now_ms = clock.now_ms()
        if named is None and advice in ("OPEN", "SLOW"):
            advice = "HOLD"  # the look-up just failed: do not promise seconds
        answer: Literal["now", "held", "not_now"] = "now" if advice == "OPEN" else "held"
        reason = named.reason if named else None
        if named and not named.known:
            reason = reason or "wallet_unknown"
        if reason:
            answer = "not_now"
        return QuoteAnswer(
            answer=answer,
            advice=advice,
            as_of_ms=now_ms,
            final_by_ms=deadlines_for(bank.pack, now_ms, self._scale).deadline_ms if answer != "not_now" else None,
            creditor_name=mask_name(named.name) if named and named.known else None,
            fee_minor=named.fee_minor if named and named.known else None,
            reason=reason,
        )

    async def _advice(self, bank: Bank) -> Advice:
        flows, full = self._corridor(bank.id)
        if not flows:
            return "HOLD"
        try:
            oldest_ms = await self._lanes.run(
                lambda conn: queues.oldest_held(conn, bank.id), deadline_s=BACKLOG_DEADLINE_S
            )
        except StoreFault:
            return "HOLD"  # without our database nothing can be taken into custody
        if oldest_ms is not None and clock.now_ms() - oldest_ms > SLOW_AFTER_S * 1000 / self._scale:
            return "SLOW" if full else "TRICKLE"
        return "OPEN"
