"""After a restore of the gateway: what its log does not know to have ended is burnt under all its ids, then ends.

The log is a copy of an earlier moment, so a held transfer may have been sent, credited or given back since. The
core is asked to burn each of the ATTEMPTS_MAX ids that it can have, and only all their answers together decide: no
credit among them, and it goes back by the return that it would have had; a credit, and the attempts that the log
has lost are recorded again up to that one, each closed by its own stored answer. A crash in between leaves an
open attempt, which recovery closes, and a held transfer, which is asked about again. Nothing here is sent again.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from hakika import clock
from hakika.domain.transfer import ALL_NUMBERS, ATTEMPTS_MAX, CoreAnswered, CoreKnowsAttempt, CoreKnowsNoCredit, Outcome
from hakika.services.gateway.transfers import Happened
from hakika.store.gateway import restores
from hakika.store.gateway.queues import BurnDue
from hakika.store.lane import Lanes
from hakika.wire.core_api import BATCH_MAX
from hakika.workers.delivery import STORE_DEADLINE_S, CoreLink, Recorder
from hakika.workers.redrive import burn_numbers

log = logging.getLogger(__name__)

PAGE = 4 * (BATCH_MAX // ATTEMPTS_MAX)  # transfers a turn: four exchanges with the core


class Restored:
    """Pages over what is older than a restore; a transfer that cannot be decided yet waits for the next round."""

    def __init__(self, lanes: Lanes, link: CoreLink, recorder: Recorder) -> None:
        self._lanes = lanes
        self._link = link
        self._recorder = recorder
        self._after: UUID | None = None

    async def turn(self) -> bool:
        """Decide one page; True when there are more. Raises what `call` raises."""
        breaker = self._link.breaker
        if not breaker.live(clock.monotonic_s()) or not self._link.redriven or breaker.doubts:
            return False  # what is in doubt is resolved first
        after = self._after
        page = await self._lanes.run(
            lambda conn: restores.burn_first(conn, after=after, limit=PAGE), deadline_s=STORE_DEADLINE_S
        )
        if page:
            await self._decide(page)
        full = len(page) >= PAGE
        self._after = page[-1].transfer if full else None
        return full

    async def _decide(self, page: Sequence[BurnDue]) -> None:
        asked = [(item, number) for item in page for number in sorted(ALL_NUMBERS)]
        answers = await burn_numbers(self._link.client, asked)
        whole = [item for item in page if all((item.transfer, number) in answers for number in ALL_NUMBERS)]
        if len(whole) < len(page):
            log.error("%d transfers older than a restore have ids without evidence", len(page) - len(whole))
        await asyncio.gather(*(self._recorder.record_in_order(_events(item, answers)) for item in whole))


def _events(item: BurnDue, answers: Mapping[tuple[UUID, int], Happened]) -> Iterator[Happened]:
    """What the core's answers about all ids mean, in the order in which it is stored."""
    credited = [number for number in sorted(ALL_NUMBERS) if _moved_money(answers[item.transfer, number])]
    if not credited:
        yield Happened(item.transfer, CoreKnowsNoCredit(ALL_NUMBERS, clock.now_ms()))
        return
    for number in range(item.last + 1, credited[0] + 1):
        yield Happened(item.transfer, CoreKnowsAttempt(number))
        yield answers[item.transfer, number]
    for number in credited:  # one that our log calls dead, or a second one, is a break
        yield answers[item.transfer, number]


def _moved_money(happened: Happened) -> bool:
    return isinstance(happened.event, CoreAnswered) and happened.event.outcome is Outcome.POSTED
