"""One batch from commands to answers: lock and look, decide, write and commit, all on one connection.

The poster owns a lane and, for as long as its connection lives, a writer slot with its chain. A batch that
meets another writer (a new id posted elsewhere, a chain that grew) is repeated from its locks on. A lost
commit reply is not handled here: the flusher executes the same commands again, and ids that made it are known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hakika import clock
from hakika.domain import ledger
from hakika.domain.ledger import CONFLICTS, Burn, Code, Decision, Kind, Outcome, Row, Set
from hakika.domain.reasons import InvariantBroken
from hakika.services.core.commands import AWAITING_REDRIVE, Command, Credit, Inquire, Post, as_set, fee_member
from hakika.store.core import batches
from hakika.store.core.batches import Connection, Looked, Needs, Stored
from hakika.store.core.chain import Link, next_link
from hakika.store.lane import Lane
from hakika.wire.core_api import Answer, Result

BATCH_S = 3.0  # machine timer: a batch that takes longer is cut off and executed again
REPEATS_MAX = 8
_NEW_TUPLE = tuple.__new__  # as in domain/ledger.py: a named tuple without its own __new__


class EntryAnswer(NamedTuple):
    """What became of one entry of an operator's set: posted, refused, burnt, conflict or malformed, and why."""

    id: bytes
    result: str
    code: str


@dataclass(frozen=True, slots=True)
class NotRedriven:
    """Nothing was posted nor stored: the core awaits the gateway's re-drive."""


class Told(NamedTuple):
    """An answer, and the incarnation that gave it."""

    incarnation: int
    answer: Answer


Reply = Told | list[EntryAnswer] | NotRedriven


class Poster:
    """Executes batches on one dedicated lane."""

    def __init__(self, lane: Lane, fee_accounts: Mapping[str, int]) -> None:
        """`fee_accounts` by currency; filled before the first batch that needs one."""
        self._lane = lane
        self._fee_accounts = fee_accounts
        self._claimed_on: Connection | None = None
        self._head: Link | None = None

    async def execute(self, commands: list[Command]) -> list[Reply]:
        """One reply a command, in order, after the commit. Raises StoreFault or NoAnswer (store.lane)."""
        for number in range(REPEATS_MAX):
            thorough = number > 0

            async def once(connection: Connection, thorough: bool = thorough) -> list[Reply] | None:
                return await self._once(connection, commands, thorough)

            replies = await self._lane.run(once, deadline_s=BATCH_S)
            if replies is not None:
                return replies
        raise InvariantBroken(f"a batch of {len(commands)} met other writers {REPEATS_MAX} times")

    async def _once(self, connection: Connection, commands: list[Command], thorough: bool) -> list[Reply] | None:
        before = await self._chain_head(connection)
        looked = await batches.look(connection, _needs(commands, self._fee_accounts, thorough))
        if not _all_locked(looked):
            await batches.give_up(connection)
            return None
        now_ms = clock.now_ms()
        known = {entry_id: stored.row for entry_id, stored in looked.stored.items()}
        asked = [command for command in commands if not isinstance(command, Inquire)]
        to_do = [self._to_ledger(command, looked, now_ms) for command in asked]
        decision = ledger.decide(to_do, looked.accounts, known, looked.resolved, now_ms)
        if decision.rows:
            link = next_link(before, looked.incarnation, now_ms, decision.rows)
            if not await batches.write(connection, looked.incarnation, before, link, decision):
                self._head = await batches.read_head(connection, before.slot)
                return None
            self._head = link
        else:
            link = before
            await batches.give_up(connection)
        return _replies(commands, decision, looked, link)

    async def _chain_head(self, connection: Connection) -> Link:
        """The head of the chain this connection may extend; claimed anew on a new connection."""
        if connection is not self._claimed_on or self._head is None:
            self._head = await batches.claim_slot(connection, 0 if self._head is None else self._head.slot)
            self._claimed_on = connection
        return self._head

    def _to_ledger(self, command: Command, looked: Looked, now_ms: int) -> ledger.Command:
        match command:
            case Credit():
                return as_set(command, looked, self._fee_accounts, now_ms)
            case Post():
                if looked.redriven:
                    return command.set
                return command.set._replace(refusal=AWAITING_REDRIVE, stores_refusal=False)
            case Burn():
                return command
            case Inquire():
                raise InvariantBroken("an inquiry is not decided")


def _needs(commands: Sequence[Command], fee_accounts: Mapping[str, int], thorough: bool) -> Needs:
    """What to lock and look up. The members of a credit are known only with their head, so they are looked up
    only in a repeat (`thorough`), after an id turned out to be taken."""
    accounts: set[int] = set()
    msisdns, banks, ids, pending_ids = set(), set(), set(), set()
    for command in commands:
        match command:
            case Credit():
                ids.add(command.id)
                if thorough:
                    ids.add(fee_member(command.id))
                accounts.update(fee_accounts.values())
                msisdns.add(command.msisdn)
                banks.add(command.bank)
            case Post():
                for entry in command.set.entries:
                    ids.add(entry.id)
                    accounts.update((entry.debit, entry.credit))
                    if entry.pending_id is not None:
                        ids.add(entry.pending_id)
                        pending_ids.add(entry.pending_id)
            case Burn() | Inquire():
                ids.add(command.id)
    return Needs(frozenset(accounts), frozenset(msisdns), frozenset(banks), frozenset(ids), frozenset(pending_ids))


def _all_locked(looked: Looked) -> bool:
    """False when an account was opened between the locks and the look-up."""
    owned = [account.account for held in looked.wallets.values() for account in held.values()]
    return all(account in looked.accounts for account in (*owned, *looked.positions.values()))


def _replies(commands: Sequence[Command], decision: Decision, looked: Looked, link: Link) -> list[Reply]:
    fresh = {row.id: row for row in decision.rows}
    outcomes = iter(decision.outcomes)
    replies: list[Reply] = []
    for command in commands:
        if isinstance(command, Post):
            replies.append(_entry_answers(command.set, next(outcomes)))
            continue
        if isinstance(command, Inquire):
            stored = looked.stored.get(command.id)
            outcome = Outcome(Code.EXISTS, fresh.get(command.id) or (stored.row if stored else None))
        else:
            outcome = next(outcomes)[0]
        answer = _answer(command.id, outcome, fresh, looked.stored, link)
        replies.append(NotRedriven() if answer is None else Told(looked.incarnation, answer))
    return replies


def _answer(
    command_id: bytes, outcome: Outcome, fresh: Mapping[bytes, Row], stored: Mapping[bytes, Stored], link: Link
) -> Answer | None:
    """The wire's answer about one id, with the link of the chain that holds it; None before the re-drive."""
    code, row = outcome
    text = command_id.hex()
    if code == AWAITING_REDRIVE:
        return None
    if row is None:
        return Answer(text, "unknown", None if code == Code.EXISTS else str(code))
    if code in CONFLICTS:
        return Answer(text, "conflict")
    holder = link if row.id in fresh else stored[row.id].link
    result: Result = "burnt" if row.kind == Kind.BURN else "posted" if row.refusal is None else "refused"
    return Answer(text, result, row.refusal, row.fee, holder.slot, holder.seq, holder.hash.hex(), holder.at_ms)


def _entry_answers(asked: Set, outcomes: list[Outcome]) -> list[EntryAnswer] | NotRedriven:
    code = outcomes[0].code
    if code == AWAITING_REDRIVE:
        return NotRedriven()
    if code == Code.POSTED:  # then so is every member
        return [_NEW_TUPLE(EntryAnswer, (entry.id, "posted", code)) for entry in asked.entries]
    return [EntryAnswer(entry.id, *_named(outcome)) for entry, outcome in zip(asked.entries, outcomes, strict=True)]


def _named(outcome: Outcome) -> tuple[str, str]:
    """The result in the wire's words and the code behind it."""
    code, row = outcome
    if code in (Code.POSTED, Code.EXISTS):
        return "posted", code
    if code == Code.ID_BURNT:
        return "burnt", code
    if code in CONFLICTS:
        return "conflict", code
    if code in ledger.MALFORMED:
        return "malformed", code
    if code == Code.ID_ALREADY_REFUSED and row is not None and row.refusal is not None:
        return "refused", row.refusal
    return "refused", code
