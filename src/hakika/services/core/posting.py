"""One batch from commands to answers: lock and look, decide, write and commit, all on one connection.

The poster owns a lane and, for as long as its connection lives, a writer slot with its chain. A large batch is
decided in parts, each a link of the chain: while PostgreSQL writes one, the next is decided and packed, and while it
writes the last, the answers are put together. It stays one transaction, nothing is told before its commit, and the
answers are those of a batch decided whole. A batch that meets another writer (a new id
posted elsewhere, a chain that grew) is repeated from its locks on. A lost commit reply is not handled here: the
flusher executes the same commands again, and ids that made it are known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hakika import clock
from hakika.domain import ledger
from hakika.domain.ledger import CONFLICTS, Burn, Code, Kind, Outcome, Row, Set
from hakika.domain.reasons import InvariantBroken
from hakika.services.core.commands import AWAITING_REDRIVE, Command, Credit, Inquire, Post, as_set, fee_member
from hakika.store.core import batches
from hakika.store.core.batches import Connection, Looked, Needs, Part, Stored
from hakika.store.core.chain import Link, next_link
from hakika.store.lane import Lane
from hakika.wire.core_api import Answer, Result

BATCH_S = 3.0  # machine timer: a batch that takes longer is cut off and executed again
REPEATS_MAX = 8
LARGE = 400  # commands; a part more costs PostgreSQL a statement, and lets it begin earlier
PART_FIRST = 100
PART_GROWS = 3  # times: PostgreSQL writes three entries while one is decided, and is not to wait for the next part
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
        batch = _Batch(commands, looked, before, self._fee_accounts, clock.now_ms())
        meanwhile = batch.answer if len(commands) >= LARGE else None
        if not await batches.write(connection, looked.incarnation, before, batch.parts(), meanwhile):
            self._head = await batches.read_head(connection, before.slot)
            return None
        self._head = batch.head
        return batch.replies

    async def _chain_head(self, connection: Connection) -> Link:
        """The head of the chain this connection may extend; claimed anew on a new connection."""
        if connection is not self._claimed_on or self._head is None:
            self._head = await batches.claim_slot(connection, 0 if self._head is None else self._head.slot)
            self._claimed_on = connection
        return self._head


class _Batch:
    """A batch while it is decided, and the answers to its commands once it is committed."""

    def __init__(
        self,
        commands: Sequence[Command],
        looked: Looked,
        before: Link,
        fee_accounts: Mapping[str, int],
        now_ms: int,
    ) -> None:
        self.head = before  # of the chain, with the parts so far
        self._commands = commands
        self._looked = looked
        self._fee_accounts = fee_accounts
        self._now_ms = now_ms
        known = {entry_id: stored.row for entry_id, stored in looked.stored.items()}
        self._books = ledger.Books(looked.accounts, known, looked.resolved, now_ms)
        self._outcomes: list[list[Outcome]] = []
        self._parts: list[Part] = []

    def parts(self) -> Iterator[Part]:
        """Decide one part after the other, each only when it is asked for; those that store nothing are left out."""
        asked = [command for command in self._commands if not isinstance(command, Inquire)]
        begin = 0
        for end in _ends(len(asked)):
            decision = self._books.decide([self._to_ledger(command) for command in asked[begin:end]])
            self._outcomes += decision.outcomes
            begin = end
            if decision.rows:
                self.head = next_link(self.head, self._looked.incarnation, self._now_ms, decision.rows)
                part = Part(self.head, decision, end == len(asked))
                self._parts.append(part)
                yield part

    def answer(self) -> None:
        """Put the replies together, while there is nothing else to do."""
        _ = self.replies

    @cached_property
    def replies(self) -> list[Reply]:
        """One for each command, in order; nobody is to see them before the commit."""
        outcomes = iter(self._outcomes)
        replies: list[Reply] = []
        for command in self._commands:
            if isinstance(command, Post):
                replies.append(_entry_answers(command.set, next(outcomes)))
                continue
            if isinstance(command, Inquire):
                found = self._find(command.id)
                outcome = Outcome(Code.EXISTS, None if found is None else found.row)
            else:
                outcome = next(outcomes)[0]
            answer = self._answer(command.id, outcome)
            replies.append(NotRedriven() if answer is None else Told(self._looked.incarnation, answer))
        return replies

    def _find(self, entry_id: bytes) -> Stored | None:
        """What is stored under an id now, with the link that holds it."""
        for rows, link in self._fresh:
            if entry_id in rows:
                return Stored(rows[entry_id], link)
        return self._looked.stored.get(entry_id)

    @cached_property
    def _fresh(self) -> list[tuple[dict[bytes, Row], Link]]:
        """The rows of each part by their ids."""
        return [({row.id: row for row in part.decision.rows}, part.link) for part in self._parts]

    def _answer(self, command_id: bytes, outcome: Outcome) -> Answer | None:
        """The wire's answer about one id, with the link of the chain that holds it; None before the re-drive."""
        code, row = outcome
        text = command_id.hex()
        if code == AWAITING_REDRIVE:
            return None
        if row is None:
            return Answer(text, "unknown", None if code == Code.EXISTS else str(code))
        if code in CONFLICTS:
            return Answer(text, "conflict")
        stored = self._find(row.id)
        if stored is None:
            raise InvariantBroken(f"an outcome names a row that is not stored: {row.id.hex()}")
        holder = stored.link
        result: Result = "burnt" if row.kind == Kind.BURN else "posted" if row.refusal is None else "refused"
        return Answer(text, result, row.refusal, row.fee, holder.slot, holder.seq, holder.hash.hex(), holder.at_ms)

    def _to_ledger(self, command: Command) -> ledger.Command:
        match command:
            case Credit():
                return as_set(command, self._looked, self._fee_accounts, self._now_ms)
            case Post():
                if self._looked.redriven:
                    return command.set
                return command.set._replace(refusal=AWAITING_REDRIVE, stores_refusal=False)
            case Burn():
                return command
            case Inquire():
                raise InvariantBroken("an inquiry is not decided")


def _ends(count: int) -> list[int]:
    """Where the parts of so many commands end."""
    ends: list[int] = []
    begin, size = 0, PART_FIRST
    while count >= LARGE and count - begin >= 2 * size:
        begin += size
        ends.append(begin)
        size *= PART_GROWS
    return [*ends, count]


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
