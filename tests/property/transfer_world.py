"""The world around one transfer, for the state machine: a core, a wire that misbehaves, workers, a bank, clocks.

The gateway's part is `domain/transfer.py` alone: `give` hands it an event and performs nothing. What a process
knows (an attempt it may send, an answer it holds, an event whose commit reply was lost) is lost when it crashes.
What was ever written to the wire stays in `written`, because a message may be late by any time. The core here
is the honest ledger of the design: the id is looked up first, refusals and burns are stored and kill the id. A
restore of the gateway puts its rows back to an earlier moment; core, wire and bank remember what has been.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from uuid import UUID

from hakika.domain.deadlines import Deadlines
from hakika.domain.reasons import Reason
from hakika.domain.transfer import (
    ALL_NUMBERS,
    FINAL,
    Attempt,
    BankAcknowledgedReturn,
    BankRecalled,
    ClockReturnDue,
    CoreAnswered,
    CoreKnowsAttempt,
    CoreKnowsNoCredit,
    Decision,
    Event,
    Outcome,
    RecordAttempt,
    SenderWroteNothing,
    Status,
    TellBank,
    Transfer,
    Verdict,
    WorkerClaimed,
    decide,
    status_of,
)

VALID_UNTIL_MS, RETURN_AT_MS, DEADLINE_MS = 10_000, 12_000, 15_000
DEAD = (Outcome.REFUSED, Outcome.BURNT)
HEAL_STEPS_MAX = 60


@dataclass(slots=True)
class Sender:
    """A process that holds an open attempt in memory, with the lease token that it saw."""

    number: int
    token: int
    wrote: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """An instruction or a burn on its way to the core."""

    kind: str
    number: int


@dataclass(slots=True)
class Core:
    """One wallet's ledger as far as this transfer's ids go; `credits` counts what the wallet got."""

    stored: dict[int, tuple[Outcome, Reason | None]] = field(default_factory=dict)
    credits: int = 0
    refuses: Reason | None = None
    skew_ms: int = 0

    def execute(self, message: Message, now_ms: int) -> tuple[Outcome, Reason | None]:
        """The stored answer; an id already known gets what is stored, before every other check."""
        known = self.stored.get(message.number)
        if known is not None:
            return known
        if message.kind == "burn":
            answer: tuple[Outcome, Reason | None] = (Outcome.BURNT, None)
        elif now_ms + self.skew_ms >= VALID_UNTIL_MS:
            answer = (Outcome.REFUSED, Reason.VALIDITY_PASSED)
        elif self.refuses is not None:
            answer = (Outcome.REFUSED, self.refuses)
        else:
            answer = (Outcome.POSTED, None)
            self.credits += 1
        self.stored[message.number] = answer
        return answer


@dataclass(frozen=True, slots=True)
class Copy:
    """The gateway's rows as a backup has them."""

    transfer: Transfer
    told: Counter[str]
    recorded: Counter[str]
    breaks: int


class World:
    """Everything around the pure rules, as plain data, and the rules' last state as PostgreSQL would hold it."""

    def __init__(self, *, reserved: bool = False) -> None:
        instants = Deadlines(VALID_UNTIL_MS, RETURN_AT_MS, DEADLINE_MS)
        self.transfer = Transfer(UUID(int=1), instants, reserved=reserved)
        self.now_ms = 0
        self.core = Core()
        self.wire: list[Message] = []
        self.written: set[Message] = set()
        self.answers: list[tuple[int, Outcome, Reason | None]] = []
        self.senders: list[Sender] = []
        self.again: list[Event] = []
        self.told: Counter[str] = Counter()
        self.recorded: Counter[str] = Counter()
        self.breaks = 0
        self.heard: set[str] = set()  # ends that the bank was told in any life of the gateway
        self.copies: list[Copy] = []

    # --- the gateway's store ---

    def give(self, event: Event, *, reply_lost: bool = False) -> Decision:
        """Decide and store one event; with `reply_lost` the process does not learn it and will repeat it."""
        before = self.transfer
        decision = decide(before, event)
        self.transfer = decision.transfer
        for effect in decision.effects:
            self.recorded[type(effect).__name__] += 1
            if isinstance(effect, TellBank):
                self.told[effect.kind] += 1
                if effect.kind in ("final", "return"):
                    self.heard.add(effect.kind)
        if decision.verdict is Verdict.CONTRADICTION:
            self.breaks += 1
        if reply_lost:
            self.again.append(event)
        if status_of(before) in FINAL and status_of(self.transfer) is not status_of(before):
            raise AssertionError(f"I-GW-4: {status_of(before)} became {status_of(self.transfer)} by {event}")
        return decision

    def claim(self, *, reply_lost: bool) -> None:
        """A worker claims; only one that learns of its commit may send."""
        decision = self.give(WorkerClaimed(self.now_ms), reply_lost=reply_lost)
        for effect in decision.effects:
            if isinstance(effect, RecordAttempt) and not reply_lost:
                self.senders.append(Sender(effect.number, 1))

    def take_over(self) -> Sender | None:
        """Another worker takes the lease of the open attempt, as the store does it: the token is raised."""
        if status_of(self.transfer) is not Status.IN_FLIGHT:
            return None
        last = self.transfer.attempts[-1]
        taken = replace(last, lease_token=last.lease_token + 1)
        self.transfer = replace(self.transfer, attempts=(*self.transfer.attempts[:-1], taken))
        sender = Sender(taken.number, taken.lease_token)
        self.senders.append(sender)
        return sender

    def copy(self) -> None:
        """Somebody makes a backup of the gateway's rows."""
        self.copies.append(Copy(self.transfer, self.told.copy(), self.recorded.copy(), self.breaks))

    def restore(self, copy: Copy) -> None:
        """The rows are as they were; what has no end in them is marked, and every process has died."""
        self.transfer, self.breaks = copy.transfer, copy.breaks
        self.told, self.recorded = copy.told.copy(), copy.recorded.copy()
        if status_of(self.transfer) not in FINAL:
            self.transfer = replace(self.transfer, burn_first=True)
        self.senders.clear()
        self.again.clear()
        self.answers.clear()

    def burn_all(self, *, crash_after: int = 10**6) -> None:
        """What the worker does with a held transfer older than a restore; it may die between any two commits."""
        if not self.transfer.burn_first or status_of(self.transfer) not in (Status.RECEIVED, Status.RESERVED):
            return
        answers = {number: self.core.execute(Message("burn", number), self.now_ms) for number in sorted(ALL_NUMBERS)}
        credited = [number for number, (outcome, _) in answers.items() if outcome is Outcome.POSTED]
        events: list[Event] = [] if credited else [CoreKnowsNoCredit(ALL_NUMBERS, self.now_ms)]
        for number in range(len(self.transfer.attempts) + 1, max(credited, default=0) + 1):
            outcome, reason = answers[number]
            events += [CoreKnowsAttempt(number), CoreAnswered(number, outcome, self.now_ms, reason)]
        for event in events[:crash_after]:
            self.give(event)

    # --- what processes do with what they hold ---

    def write(self, sender: Sender) -> None:
        """The first holder instructs; whoever took over instructs again, or burns when it is late or recalled."""
        late = self.transfer.recalled is not None or self.transfer.burn_first or self.now_ms >= VALID_UNTIL_MS
        kind = "burn" if sender.token > 1 and late else "instruct"
        self.put(Message(kind, sender.number))
        sender.wrote = True

    def put(self, message: Message) -> None:
        """Bytes are on the wire; they may arrive at any time, or never, or more than once."""
        self.wire.append(message)
        self.written.add(message)

    def wrote_nothing(self, sender: Sender, *, reply_lost: bool) -> Decision:
        """A holder that could not connect says so under the token that it saw."""
        self.senders.remove(sender)
        event = SenderWroteNothing(sender.number, sender.token, self.now_ms)
        return self.give(event, reply_lost=reply_lost)

    def core_executes(self, message: Message) -> None:
        """The core commits and answers."""
        outcome, reason = self.core.execute(message, self.now_ms)
        self.answers.append((message.number, outcome, reason))

    def answer_arrives(self, answer: tuple[int, Outcome, Reason | None], *, reply_lost: bool = False) -> Decision:
        """A stored answer reaches the gateway, perhaps long after."""
        number, outcome, reason = answer
        return self.give(CoreAnswered(number, outcome, self.now_ms, reason), reply_lost=reply_lost)

    def burn_unsent(self) -> None:
        """Returned unsent: every id that was ever recorded, or the first, is burnt once the core is reachable."""
        if self.transfer.returned and self.transfer.returned.burn_due:
            for number in range(1, max(1, len(self.transfer.attempts)) + 1):
                self.put(Message("burn", number))

    # --- healing ---

    def heal(self) -> None:
        """The links are whole, processes run, the clock goes on: everything pending is worked off in order."""
        self.core.refuses = None
        self.senders.clear()
        for _ in range(HEAL_STEPS_MAX):
            if self._ended():
                return
            self._heal_once()
            self.now_ms += 1_500
        raise AssertionError(f"I-GW-5: not final after healing: {self.transfer}")

    def _heal_once(self) -> None:
        for event in self.again:
            self.give(event)
        self.again.clear()
        sender = self.take_over()
        if sender is None:
            self.claim(reply_lost=False)
        for held in self.senders:
            self.write(held)
        self.senders.clear()
        self.burn_all()
        self.burn_unsent()
        for message in self.wire:
            self.core_executes(message)
        self.wire.clear()
        for answer in self.answers:
            self.answer_arrives(answer)
        self.answers.clear()
        self.give(ClockReturnDue(self.now_ms))
        if self.transfer.returned:
            self.give(BankAcknowledgedReturn(self.now_ms))

    def _ended(self) -> bool:
        if self.transfer.for_people:
            return True  # contradicted: it stays as it is until people have looked
        returned = self.transfer.returned
        closed = returned is None or (returned.acknowledged and not returned.burn_due)
        return status_of(self.transfer) in FINAL and closed and not self.again

    # --- what must hold (docs/invariants.md) ---

    def check(self) -> None:
        """The invariants that hold after every step."""
        status = status_of(self.transfer)
        if self.core.credits > 1:
            raise AssertionError("I-GW-1: credited twice")
        posted = [number for number, (outcome, _) in self.core.stored.items() if outcome is Outcome.POSTED]
        if status is Status.RETURNED:
            alive = [message for message in self.written if not self._dead(message.number)]
            if posted or any(message.kind == "instruct" for message in alive):
                raise AssertionError(f"I-GW-2: returned while {posted or alive} can move money")
        if status is Status.COMPLETED and not posted:
            raise AssertionError("I-GW-3: completed, but the core has not posted")
        for attempt in self.transfer.attempts:
            answered = self.core.stored.get(attempt.number, (None,))[0]
            if attempt.outcome not in (None, Outcome.NOT_SENT, answered):
                raise AssertionError(f"I-GW-6: attempt {attempt.number} closed without the core's stored answer")
            if attempt.outcome is Outcome.NOT_SENT and Message("instruct", attempt.number) in self.written:
                raise AssertionError(f"I-GW-9: attempt {attempt.number} is marked not sent, but was written")
        opens = [attempt for attempt in self.transfer.attempts if attempt.outcome is None]
        if len(opens) > 1 or (opens and status is not Status.IN_FLIGHT):
            raise AssertionError(f"I-GW-7: {len(opens)} attempts open in status {status}")
        if self.heard == {"final", "return"}:
            raise AssertionError("I-GW-10: the bank was told in one life that it arrived, in another that it came back")
        ends = self.told["final"] + self.told["return"]
        if ends != (status in FINAL) or self.recorded["DecideReturn"] != (status is Status.RETURNED):
            raise AssertionError(f"I-GW-8: told {self.told}, recorded {self.recorded} in status {status}")
        if self.recorded["RecordAttempt"] != len(self.transfer.attempts):
            raise AssertionError("I-GW-8: an attempt was recorded twice")

    def check_end(self) -> None:
        """After healing: final, and nothing that was ever written can change the books any more."""
        status = status_of(self.transfer)
        if self.transfer.for_people and status not in FINAL:
            if self.told["return"] or self.told["final"]:
                raise AssertionError(f"I-GW-2: contradicted, and yet the bank was told {self.told}")
            return
        if (status is Status.COMPLETED) != (self.core.credits == 1):
            raise AssertionError(f"I-GW-3: {status} with {self.core.credits} credits")
        recalled = self.transfer.recalled is not None
        once = max(self.recorded["AcknowledgeReturn"], self.recorded["BurnDone"]) <= 1
        if self.told["resolution"] != recalled or not once:
            raise AssertionError(f"I-GW-8: told {self.told}, recorded {self.recorded}, recalled {recalled}")
        outcomes = {attempt.outcome for attempt in self.transfer.attempts}
        if status is Status.RETURNED and outcomes <= {Outcome.NOT_SENT}:
            for number in range(1, max(1, len(self.transfer.attempts)) + 1):
                if not self._dead(number):
                    raise AssertionError(f"I-GW-6: returned unsent, and id {number} was never burnt")
        for message in sorted(self.written, key=lambda item: (item.kind, item.number)):
            self.core.execute(message, self.now_ms - DEADLINE_MS)
        if self.core.credits > (status is Status.COMPLETED):
            raise AssertionError("I-GW-1: a message that was late by years moved money")

    def leases_taken(self) -> int:
        """The lease token of the open attempt, 0 when none is open."""
        return max((attempt.lease_token for attempt in self.transfer.attempts if attempt.outcome is None), default=0)

    def answered(self) -> list[Attempt]:
        """The attempts that the core's stored answer has closed."""
        return [attempt for attempt in self.transfer.attempts if attempt.outcome not in (None, Outcome.NOT_SENT)]

    def _dead(self, number: int) -> bool:
        return self.core.stored.get(number, (None,))[0] in DEAD


def recall() -> BankRecalled:
    """camt.056."""
    return BankRecalled(Reason.RECALLED_BY_BANK, 0)
