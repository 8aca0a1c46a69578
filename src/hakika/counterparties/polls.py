"""Asks about transfers that were accepted and are not final: pacs.028, one at a time, on a leash.

The first inquiry about a transfer comes after `poll_after_s`, each next one after twice as long, and after
`polls_max` only once in two hours; all divided by the scale. Retry-After stops all inquiries for that long.
Silence and busy are no evidence: nothing follows from them. Nor is "unknown" evidence of any end: the gateway has
lost the message, and is sent the same bytes again. What a signed answer says is booked like a callback. On command
(`polls_times`) the bank loses its manners: it asks so many times as often, about whatever is not final, and minds
neither Retry-After nor what it has asked already.
"""

import asyncio
import heapq
import logging
import sqlite3

from hakika import clock
from hakika.counterparties.books import Books, BooksBusy, BooksUnanswered
from hakika.counterparties.faults import Faults
from hakika.counterparties.gateway import XML, Gateway, NoAnswer
from hakika.counterparties.incoming import MessageUnread, read_statements
from hakika.counterparties.messages import inquiry_body
from hakika.counterparties.sender import PATH, Sender
from hakika.wire.jws import SignatureRefused

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
PACE_S = 0.2  # between two inquiries
LATER_S = 7200.0  # unscaled, between inquiries past the leash
LOOK_ROWS_MAX = 200
STORM_AT_ONCE = 12  # the connections that are spare beside the messages under way
BUSY_PAUSE_S = 5.0  # where busy came without Retry-After
TOO_MANY = 429
UNKNOWN = 404

Due = tuple[float, str, int]  # monotonic seconds, UETR, inquiries made


class Polls:
    """The loop of inquiries of one bank."""

    def __init__(
        self,
        books: Books,
        gateway: Gateway,
        sender: Sender,
        faults: Faults,
        *,
        first_after_s: float,
        polls_max: int,
        later_s: float,
    ) -> None:
        """Times are scaled already."""
        self._books = books
        self._gateway = gateway
        self._sender = sender
        self._faults = faults
        self._first_after_s = first_after_s
        self._polls_max = polls_max
        self._later_s = later_s
        self._due: list[Due] = []
        self._looked_to = (0, "")  # accepted_ms and UETR of the last row taken up
        self._stormed_to = (0, "")
        self.made = 0

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            if self._faults.polls_times > 1.0:
                await self._storm()
                continue
            self._look()
            pause_s = await self._ask_one()
            await asyncio.sleep(pause_s)

    def _look(self) -> None:
        """Take up transfers that have become old enough to be asked about."""
        if len(self._due) > LOOK_ROWS_MAX:
            return
        before_ms = clock.now_ms() - int(self._first_after_s * 1000)
        rows = self._books.reader.execute(
            "SELECT accepted_ms, uetr FROM transfer WHERE state = 'accepted' AND (accepted_ms, uetr) > (?, ?)"
            " AND accepted_ms <= ? ORDER BY accepted_ms, uetr LIMIT ?",
            (*self._looked_to, before_ms, LOOK_ROWS_MAX),
        ).fetchall()
        for row in rows:
            self._looked_to = (row["accepted_ms"], row["uetr"])
            heapq.heappush(self._due, (clock.monotonic_s(), row["uetr"], 0))

    async def _storm(self) -> None:
        """One round over some of what is not final, so many times as fast as the pace, whatever the answers say."""
        rows = self._books.reader.execute(
            "SELECT * FROM transfer WHERE state = 'accepted' AND (accepted_ms, uetr) > (?, ?)"
            " ORDER BY accepted_ms, uetr LIMIT ?",
            (*self._stormed_to, LOOK_ROWS_MAX),
        ).fetchall()
        self._stormed_to = (rows[-1]["accepted_ms"], rows[-1]["uetr"]) if rows else (0, "")
        room = asyncio.Semaphore(STORM_AT_ONCE)
        due_s = clock.monotonic_s()
        async with asyncio.TaskGroup() as group:
            for row in rows:
                if self._faults.polls_times <= 1.0:
                    break
                await room.acquire()
                group.create_task(self._ask(row)).add_done_callback(lambda _: room.release())
                due_s = max(due_s + PACE_S / self._faults.polls_times, clock.monotonic_s() - PACE_S)
                await asyncio.sleep(max(0.0, due_s - clock.monotonic_s()))
        if not rows:
            await asyncio.sleep(PACE_S / self._faults.polls_times)

    async def _ask_one(self) -> float:
        """Make the inquiry that is due, if any; seconds to rest before the next."""
        now_s = clock.monotonic_s()
        if not self._due or self._due[0][0] > now_s:
            return LOOK_EVERY_S
        _, uetr, made = heapq.heappop(self._due)
        row = self._books.reader.execute(
            "SELECT * FROM transfer WHERE uetr = ? AND state = 'accepted'", (uetr,)
        ).fetchone()
        if row is None:
            return 0.0
        pause_s = await self._ask(row)
        if pause_s is not None:  # not taken: the inquiry does not count
            heapq.heappush(self._due, (now_s + pause_s, uetr, made))
            return pause_s
        made += 1
        rest_s = self._first_after_s * 2**made if made < self._polls_max else self._later_s
        heapq.heappush(self._due, (now_s + clock.jitter(rest_s), uetr, made))
        return PACE_S

    async def _ask(self, row: sqlite3.Row) -> float | None:
        """One inquiry; the pause that the gateway demands, None when it was taken or went unanswered."""
        body = inquiry_body(row["uetr"], row["msg_id"], row["end_to_end_id"])
        self._faults.crash_point("before_poll")
        try:
            answer = await self._gateway.post(PATH, body, XML)
        except NoAnswer:
            return BUSY_PAUSE_S
        self._faults.crash_point("after_poll")
        self.made += 1
        if answer.status == TOO_MANY or answer.status >= 500:
            return BUSY_PAUSE_S if answer.retry_after_s is None else answer.retry_after_s
        if answer.status not in (200, UNKNOWN) or self._faults.loses_answer():
            return None
        try:
            evidence = self._gateway.verified(answer.body, answer.signature)
            if answer.status == UNKNOWN:
                await self._sender.send_again(row["msg_id"])
                return None
            statements = read_statements(answer.body)
            await self._sender.book("final", evidence, statements)
        except (SignatureRefused, MessageUnread, BooksBusy, BooksUnanswered) as error:
            log.info("the answer to an inquiry about %s was not booked: %s", row["uetr"], error)
        return None
