"""A cent from a bank to a wallet, for real: ordered as a customer orders, followed on the tracking page to its end.

Every other time it goes to a wallet that is blocked, so that it has to come back, and the way back is tried as well: it
is good when the bank has confirmed the return. What the page does not say, the bank's own books may: a dead tracking
page is no fault of the corridor.

While an outage lasts, test transfers wait like all others. At most OPEN_MAX that nobody follows any more do; after that
the oldest is looked at instead of sending one more, so that tests never become the backlog. Tests may run side by side.
"""

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field

from hakika import clock
from hakika.health.vantage.probing import READ_S, Outcome, Probe, Target, TestedBank
from hakika.outbound.probing import Answered, Unanswered

OPEN_MAX = 4
STEP_FIRST_S = 0.2
STEP_MAX_S = 1.0
FINAL = ("completed", "returned", "rejected")
NAME = "Synthetic Test"
BLOCKED = "wallet_blocked"
_UETR = re.compile(r"[0-9a-f-]{32,36}", re.ASCII)
_REFERENCE = re.compile(r"/t/([a-z2-7]{26})$", re.ASCII)
_NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(slots=True)
class _Seen:
    """How far one transfer is known to have come."""

    stage: str = "not_accepted"  # what is said when nothing better is known at the deadline
    end: Outcome | None = None


@dataclass(slots=True)
class BankToWallet:
    """The test of one bank's corridor."""

    target: Target
    bank: TestedBank
    name: str = "bank-to-wallet"
    turn: int = 0
    waiting: deque[str] = field(default_factory=deque)  # UETRs that we followed to no end, the oldest first

    @property
    def component(self) -> str:
        """The bank's corridor."""
        return f"corridor:{self.bank.id}"

    async def run(self) -> Outcome:
        """One cent there, or there and back."""
        ends_s = clock.monotonic_s() + self.target.deadline_s
        if len(self.waiting) >= OPEN_MAX:
            oldest = self.waiting[0]
            seen = await self._look(oldest)
            if seen is not None:
                return seen
            if oldest in self.waiting:
                self.waiting.remove(oldest)
        back = bool(self.target.test_wallet_blocked) and self.turn % 2 == 1
        self.turn += 1
        ordered = await self._order(back, ends_s)
        if isinstance(ordered, Outcome):
            return ordered
        outcome = await self._follow(ordered, back, ends_s)
        if not outcome.ok:
            self.waiting.append(ordered)
        return outcome

    async def _look(self, uetr: str) -> Outcome | None:
        """One look at a transfer that waits; None once it has ended."""
        answer = await self._booked(uetr, READ_S)
        if isinstance(answer, Unanswered):
            return Outcome(False, f"bank_{answer.word}")
        if answer.status == 404 or answer.json().get("state") in FINAL:
            return None
        return Outcome(False, "still_waiting")

    async def _order(self, back: bool, ends_s: float) -> str | Outcome:
        """The UETR of a debited order; asked once more under the same id where the bank does not answer."""
        order = {
            "request_id": f"{self.target.vantage}-{clock.new_id().hex}",
            "creditor_msisdn": self.target.test_wallet_blocked if back else self.target.test_wallet,
            "creditor_name": NAME,
            "amount_minor": self.target.amount_minor,
            "currency": self.target.currency,
        }
        url = f"{self.bank.url}/customers/{self.bank.customer}/transfers"
        answer: Answered | Unanswered = Unanswered("no_answer")
        for _ in range(2):
            left_s = ends_s - clock.monotonic_s()
            if left_s <= 0:
                break
            answer = await self.target.client.ask("POST", url, deadline_s=min(READ_S, left_s), content=order)
            if isinstance(answer, Answered) and answer.status != 503:
                break
        if isinstance(answer, Unanswered):
            return Outcome(False, f"bank_{answer.word}")
        told = answer.json()
        if answer.status != 200:
            return Outcome(False, f"bank_status_{answer.status}")
        if told.get("result") != "debited":
            return Outcome(False, _word("not_debited", told.get("reason")))
        uetr = str(told.get("uetr", ""))
        return uetr if _UETR.fullmatch(uetr) else Outcome(False, "bank_wrong")

    async def _follow(self, uetr: str, back: bool, ends_s: float) -> Outcome:
        """Look until its end or the deadline."""
        seen, reference, step_s = _Seen(), "", STEP_FIRST_S
        while True:
            left_s = ends_s - clock.monotonic_s()
            if left_s <= 0:
                return Outcome(False, f"back_{seen.stage}" if back else seen.stage)
            page = await self._page(reference, min(READ_S, left_s)) if reference else None
            if page is None or not self._by_page(page, seen, back):
                left_s = max(0.01, ends_s - clock.monotonic_s())
                reference = self._by_books(await self._booked(uetr, min(READ_S, left_s)), seen, back) or reference
            if seen.end is not None:
                return seen.end
            await asyncio.sleep(min(step_s, max(0.0, ends_s - clock.monotonic_s())))
            step_s = min(step_s * 1.5, STEP_MAX_S)

    async def _page(self, reference: str, deadline_s: float) -> Answered | Unanswered:
        url = f"{self.target.tracking_url}/t/{reference}.json"
        return await self.target.client.ask("GET", url, deadline_s=deadline_s)

    async def _booked(self, uetr: str, deadline_s: float) -> Answered | Unanswered:
        return await self.target.client.ask("GET", f"{self.bank.url}/transfers/{uetr}", deadline_s=deadline_s)

    def _by_page(self, answer: Answered | Unanswered, seen: _Seen, back: bool) -> bool:
        """What the tracking page says; False where it says nothing that counts."""
        if isinstance(answer, Unanswered) or answer.status != 200:
            return False
        told = answer.json()
        stage, final = str(told.get("stage", "")), told.get("final") is True
        if not stage:
            return False
        seen.stage = _word(stage)
        if final:
            seen.end = _end(stage, back, told.get("reason"))
        return True

    def _by_books(self, answer: Answered | Unanswered, seen: _Seen, back: bool) -> str:
        """What the bank's books say; the reference under which the page is, where there is one."""
        if isinstance(answer, Unanswered) or answer.status != 200:
            return ""
        booked = answer.json()
        state = str(booked.get("state", ""))
        if state == "completed":
            seen.end = _end(state, back, None)
        elif state == "returned" and not back:
            seen.end = _end(state, back, booked.get("reason"))
        elif state == "rejected":
            seen.end = Outcome(False, _word("rejected", booked.get("reason")))
        elif state == "accepted" and seen.stage == "not_accepted":
            seen.stage = "not_final"
        found = _REFERENCE.search(str(booked.get("tracking_url") or ""))
        if found is None:
            return ""
        self.target.memory.learn(found.group(1))
        return found.group(1)


def _end(stage: str, back: bool, reason: object) -> Outcome:
    """Whether a final stage is what it should be: a cent that came back because time ran out did not go the way."""
    if (stage == "returned" and reason == BLOCKED) if back else stage == "completed":
        return Outcome(True)
    return Outcome(False, _word(stage if not back else f"back_{stage}", reason))


def _word(*parts: object) -> str:
    """One machine word of at most 80 characters."""
    texts = (_NO_WORD.sub("_", str(part).lower()).strip("_") for part in parts if part)
    return "_".join(text for text in texts if text)[:80]


def probes(target: Target) -> list[Probe]:
    """One for each bank."""
    return [BankToWallet(target, bank) for bank in target.banks]
