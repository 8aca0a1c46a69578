"""After a restore of the core: everything that this gateway knows is driven again before anything fresh is sent.

A restored core has forgotten its last answers. So what we know as credited is posted again under the same ids, and
every id that could still move money is burnt: those of every transfer without an end, of every attempt that is
open, and of what went back while its instruction is still valid. Only stored answers count, as always. Attempts
under a running lease are waited for: their sender may have bytes under way. Then the core is told, and posts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Protocol, TypeVar
from uuid import UUID

from hakika import clock
from hakika.domain.transfer import CoreAnswered, Outcome
from hakika.ids import attempt_id
from hakika.outbound.core import CoreClient
from hakika.services.gateway.transfers import LEASE_MS, Happened
from hakika.store.gateway import queues, restores
from hakika.store.gateway.queues import BurnDue
from hakika.store.gateway.restores import Connection
from hakika.store.lane import Lanes
from hakika.wire.core_api import BATCH_MAX
from hakika.workers.calling import call
from hakika.workers.delivery import STORE_DEADLINE_S, CoreLink, Recorder, answered, instruction_for, stored_answer

log = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Page(Protocol[T_co]):
    """Rows of the gateway's database by the order of an id, from after `after` on."""

    def __call__(self, conn: Connection, *, after: UUID | None, limit: int) -> Awaitable[Sequence[T_co]]:
        """At most `limit` of them."""


PAGE = 200
LEASE_WAIT_S = 0.25
VALIDITY_SLACK_MS = 60_000  # the core's clock may be behind ours; a burn too many costs nothing


async def burn_numbers(client: CoreClient, asked: list[tuple[BurnDue, int]]) -> dict[tuple[UUID, int], Happened]:
    """Burn these ids, `BATCH_MAX` at a time; for each that has a stored answer, the event that it means."""
    events: dict[tuple[UUID, int], Happened] = {}
    for start in range(0, len(asked), BATCH_MAX):
        part = asked[start : start + BATCH_MAX]
        ids = [attempt_id(item.bank, item.uetr, number).hex for item, number in part]
        answers = await call(client.burn(ids))
        for (item, number), asked_id, answer in zip(part, ids, answers.answers, strict=True):
            happened = stored_answer(item.transfer, number, answer, answers.incarnation, 1.0)
            if answer.id == asked_id and happened is not None:
                events[item.transfer, number] = happened
    return events


class Redrive:
    """One run brings a restored core to what this gateway knows. Safe to repeat from the start at any time."""

    def __init__(self, lanes: Lanes, link: CoreLink, recorder: Recorder, *, holder: UUID, scale: float) -> None:
        self._lanes = lanes
        self._link = link
        self._recorder = recorder
        self._holder = holder
        self._scale = scale

    async def run(self) -> bool:
        """Drive everything again, then say so to the core and to our own database. Raises what `call` raises."""
        incarnation = self._link.incarnation
        log.warning("the core is restored (incarnation %d): driving again what is known", incarnation)
        await self._post_again()
        await self._burn_all_open()
        await self._burn_known(restores.unended_attempted)
        valid_after_ms = clock.now_ms() - VALIDITY_SLACK_MS
        await self._burn_known(partial(restores.returned_still_valid, valid_after_ms=valid_after_ms))
        await call(self._link.client.redriven(incarnation))
        await self._lanes.run(
            lambda conn: restores.note_redriven(conn, incarnation, clock.now_ms()), deadline_s=STORE_DEADLINE_S
        )
        self._link.redriven = self._link.incarnation == incarnation
        return True

    async def _post_again(self) -> None:
        """Every credit that we know, under its id; one that is not posted again is a break."""
        after: UUID | None = None
        while page := await self._page(restores.posted_attempts, after):
            answers = await call(self._link.client.instruct([instruction_for(a) for a in page], redrive=True))
            lost = [a for a, answer in zip(page, answers.answers, strict=True) if answer.result != "posted"]
            await self._lanes.run(
                lambda conn, lost=lost: restores.open_breaks(conn, "lost_by_restore", lost, clock.now_ms()),  # type: ignore[misc]
                deadline_s=STORE_DEADLINE_S,
            )
            after = page[-1].id

    async def _burn_all_open(self) -> None:
        """Until no attempt is open; those of live senders follow when their leases have ended."""
        while True:
            if await self._burn_open():
                return
            await asyncio.sleep(clock.jitter(LEASE_WAIT_S))

    async def _burn_open(self) -> bool:
        """Burn open attempts whose lease has ended; True when none is open any more."""
        now_ms = clock.now_ms()
        taken = await self._lanes.run(
            lambda conn: queues.take_over(
                conn, holder=self._holder, now_ms=now_ms, until_ms=now_ms + LEASE_MS, limit=PAGE
            ),
            deadline_s=STORE_DEADLINE_S,
        )
        if taken:
            answers = await call(self._link.client.burn([attempt.id.hex for attempt in taken]))
            events = (
                answered(a, b, answers.incarnation, self._scale) for a, b in zip(taken, answers.answers, strict=True)
            )
            await self._recorder.record(event for event in events if event is not None)
        count, _ = await self._lanes.run(lambda conn: queues.in_doubt(conn, []), deadline_s=STORE_DEADLINE_S)
        return count == 0

    async def _burn_known(self, rows: Page[BurnDue]) -> None:
        """Burn ids 1 to the last of each of these transfers. A restored core has forgotten that they are dead.

        That an id is burnt now and was refused before is what a restore does, and no contradiction. That it was
        posted is one, and is recorded.
        """
        after: UUID | None = None
        while page := await self._page(rows, after):
            asked = [(item, number) for item in page for number in range(1, item.last + 1)]
            events = await burn_numbers(self._link.client, asked)
            await self._recorder.record_in_order(event for event in events.values() if _moved_money(event))
            after = page[-1].transfer

    async def _page(self, rows: Page[T], after: UUID | None) -> Sequence[T]:
        return await self._lanes.run(lambda conn: rows(conn, after=after, limit=PAGE), deadline_s=STORE_DEADLINE_S)


def _moved_money(happened: Happened) -> bool:
    return isinstance(happened.event, CoreAnswered) and happened.event.outcome is Outcome.POSTED
