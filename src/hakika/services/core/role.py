"""The core as one object: build it, start it, ask it.

Everything that moves money goes through one flusher and one lane, so that it is posted in batches and in one
order; look-ups and openings use lanes of their own. Nothing here waits past a deadline, and a database that
is away makes calls raise StoreFault, NoAnswer or Busy (the channel says 503): none of them is an answer about
any id. What belongs to customers' and banks' accounts is in customers.py.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from hakika import clock
from hakika.domain.ledger import Burn, Set
from hakika.domain.reasons import InvariantBroken
from hakika.services.core.commands import Command, Credit, Inquire, Post
from hakika.services.core.customers import Customers
from hakika.services.core.posting import EntryAnswer, NotRedriven, Poster, Reply, Told
from hakika.services.core.signals import CoreSignals
from hakika.services.flusher import Busy, Flusher
from hakika.services.signals import HARMLESS
from hakika.store.core import lives, owners
from hakika.store.core.batches import Connection
from hakika.store.lane import BY_KEY, Lane, Lanes, NoAnswer, StoreFault
from hakika.wire.core_api import Answer, Session

# Machine timers and bounds
COMMAND_S = 1.8  # a caller's wait for its commit
READ_S = 1.5
BATCH_MAX = 1000
QUEUE_MAX = 20_000
READ_LANES = 3
ANCHOR_EVERY_S = 60.0
RETRY_S = 0.5

log = logging.getLogger(__name__)


class AwaitingRedrive(Exception):
    """After a restore: nothing new is posted until the gateway has re-driven what it knows."""


class NothingToRedrive(Exception):
    """The present incarnation is re-driven already, or it is another one."""


def build(*, database_url: str, currency: str, test_wallets: Sequence[str] = ()) -> "CoreRole":
    """The core on one database, serving one currency; nothing is connected before start()."""
    return CoreRole(database_url, currency, test_wallets)


class CoreRole:
    """The ledger's services. Start once, stop once."""

    def __init__(self, database_url: str, currency: str, test_wallets: Sequence[str] = ()) -> None:
        self.currency = currency
        self.signals = CoreSignals(test_wallets)
        self._lane = Lane(database_url, name="core postings", setup=BY_KEY)
        self._reads = Lanes(database_url, size=READ_LANES, name="core reads", setup=BY_KEY)
        self._fee_accounts: dict[str, int] = {}
        self._house: dict[str, int] = {}
        self._poster = Poster(self._lane, self._fee_accounts)
        self._flusher: Flusher[Command, Reply] = Flusher(
            self._execute, name="ledger", batch_max=BATCH_MAX, queue_max=QUEUE_MAX
        )
        self._keeper: asyncio.Task[None] | None = None
        self.customers = Customers(self._reads, currency)

    @property
    def ready(self) -> bool:
        """True once the database was reached and the operator's accounts are there."""
        return bool(self._house)

    async def start(self) -> None:
        """Begin to take commands; returns at once, whether the database is there yet or not."""
        self._flusher.start()
        self._keeper = asyncio.create_task(self._keep(), name="core keeper")

    async def stop(self) -> None:
        """Finish what was taken, then let go of the database."""
        await self._flusher.stop()
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await self._lane.close()
        await self._reads.close()

    async def credit(self, credits: Sequence[Credit]) -> tuple[int, list[Answer]]:
        """Credit wallets from positions: the incarnation, and one stored answer for each.

        Raises AwaitingRedrive when any of them would be new to a core that is not re-driven.
        """
        try:
            incarnation, answers = await self._answers(list(credits))
        except (Busy, StoreFault, AwaitingRedrive) as fault:
            with HARMLESS:
                self.signals.not_credited(credits, _why(fault))
            raise
        with HARMLESS:
            self.signals.credited(credits, answers)
        return incarnation, answers

    async def redrive(self, credits: Sequence[Credit]) -> tuple[int, list[Answer]]:
        """Re-post what the gateway knows as completed. A refusal is not stored: its answer is `unknown`.

        Raises NothingToRedrive in an incarnation that is re-driven: there it would pass by the limits.
        """
        if (await self.session()).redriven:
            raise NothingToRedrive("this incarnation is re-driven already")
        return await self._answers([credit._replace(redrive=True) for credit in credits])

    async def burn(self, ids: Sequence[bytes]) -> tuple[int, list[Answer]]:
        """Make sure that ids never move money, or learn that they have."""
        return await self._answers([Burn(entry_id) for entry_id in ids])

    async def inquire(self, ids: Sequence[bytes]) -> tuple[int, list[Answer]]:
        """What is stored under ids; `unknown` is evidence of nothing."""
        return await self._answers([Inquire(entry_id) for entry_id in ids])

    async def post(self, sets: Sequence[Set]) -> list[list[EntryAnswer]]:
        """Linked sets as the operator gives them, each by itself, in this order."""
        replies = await self._flusher.submit_all([Post(one) for one in sets], deadline_s=COMMAND_S)
        answers: list[list[EntryAnswer]] = []
        for reply in replies:
            match reply:
                case NotRedriven():
                    raise AwaitingRedrive
                case Exception():
                    raise reply
                case Told():
                    raise InvariantBroken(f"reply {reply!r} to a set")
                case _:
                    answers.append(reply)
        return answers

    async def session(self) -> Session:
        """Who is there: incarnation, time, and whether the gateway has re-driven it."""

        async def ask(connection: Connection) -> tuple[int, bool]:
            return await lives.current(connection)

        incarnation, redriven = await self._reads.run(ask, deadline_s=READ_S)
        return Session(incarnation, clock.now_ms(), redriven)

    async def redriven(self, incarnation: int) -> Session:
        """The gateway says that it has re-driven everything: postings begin. Raises NothingToRedrive when
        `incarnation` is not the present one."""

        async def mark(connection: Connection) -> bool:
            return await lives.mark_redriven(connection, incarnation, clock.now_ms())

        if not await self._reads.run(mark, deadline_s=READ_S):
            raise NothingToRedrive(f"{incarnation} is not the present incarnation")
        return await self.session()

    def settlement_account(self) -> int:
        """The far side of every funding. Raises StoreFault before the database was reached."""
        if not self._house:
            raise StoreFault("not ready: the operator's accounts are not open yet")
        return self._house["settlement"]

    async def _answers(self, commands: Sequence[Credit | Burn | Inquire]) -> tuple[int, list[Answer]]:
        replies = await self._flusher.submit_all(commands, deadline_s=COMMAND_S)
        incarnations: set[int] = set()
        answers: list[Answer] = []
        for command, reply in zip(commands, replies, strict=True):
            match reply:
                case NotRedriven():
                    raise AwaitingRedrive
                case Told():
                    incarnations.add(reply.incarnation)
                    answers.append(reply.answer)
                case Exception():  # this one alone; logged by the flusher
                    answers.append(Answer(command.id.hex(), "unknown", "failed"))
                case _:
                    raise InvariantBroken(f"reply {reply!r} to {command!r}")
        if not incarnations:
            incarnations.add((await self.session()).incarnation)
        if len(incarnations) > 1:
            raise NoAnswer("a new incarnation began in the middle")
        return incarnations.pop(), answers

    async def _execute(self, commands: list[Command]) -> list[Reply]:
        if not self._house:
            raise StoreFault("not ready: the operator's accounts are not open yet")
        return await self._poster.execute(commands)

    async def _keep(self) -> None:
        """Open the operator's accounts, then anchor the chains from time to time, for ever."""
        while True:
            try:
                if not self._house:
                    house = await self._reads.run(self._open_house, deadline_s=READ_S)
                    self._fee_accounts[self.currency] = house["fee"]
                    self._house.update(house)
                await self._reads.run(_anchor, deadline_s=READ_S)
            except StoreFault as fault:
                log.warning("the database gives no answer: %s", fault)
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("the core's upkeep failed")
                await asyncio.sleep(RETRY_S)
            else:
                await asyncio.sleep(ANCHOR_EVERY_S)

    async def _open_house(self, connection: Connection) -> dict[str, int]:
        return await owners.open_house(connection, self.currency, clock.now_ms())


def _why(fault: Exception) -> str:
    """A fault in one word."""
    match fault:
        case Busy():
            return "busy"
        case AwaitingRedrive():
            return "awaiting_redrive"
        case _:
            return "store_fault"


async def _anchor(connection: Connection) -> None:
    await lives.add_anchor(connection, clock.now_ms())
