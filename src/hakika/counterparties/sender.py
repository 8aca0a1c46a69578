"""Sends what is in the outbox, the same bytes until each message is answered, and books the answers.

The rows are the truth: a start, or a start after a crash, takes up every unanswered row. An instruction is
answered by a verified 202 with its receipt or a verified RJCT; an acknowledgement by any 2xx. Everything else,
silence included, means: again, later. What the corridor advises (HOLD) concerns debits, never a message whose
customer has been debited. How many go at once is decided by `window.py`.
"""

import asyncio
import heapq
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hakika import clock
from hakika.counterparties import answers, bookings
from hakika.counterparties.answers import NotAnAnswer, Sent
from hakika.counterparties.bookings import Applied, Evidence, Statement
from hakika.counterparties.books import Books, BooksBusy, BooksUnanswered
from hakika.counterparties.faults import Faults
from hakika.counterparties.gateway import XML, Answer, Gateway, NoAnswer
from hakika.counterparties.messages import acknowledgement_body
from hakika.counterparties.rules import Word
from hakika.counterparties.window import Window, backoff_s
from hakika.wire.iso20022 import reading_bank
from hakika.wire.jws import SignatureRefused

log = logging.getLogger(__name__)

PATH = "/iso20022"
STOP_WITHIN_S = 1.0
TOO_MANY = 429
CONFLICT = 409
SERVER_FAULT = 500


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    kind: str
    key: str
    body: bytes
    uetrs: frozenset[str]


class Sender:
    """The loop over the outbox of one bank."""

    def __init__(self, bank: str, books: Books, gateway: Gateway, faults: Faults, *, sends_max: int) -> None:
        self._bank = bank
        self._books = books
        self._gateway = gateway
        self._faults = faults
        self._window = Window(sends_max)
        self._due: list[tuple[float, int]] = []  # heap of (monotonic seconds, outbox id)
        self._tries: dict[int, int] = {}
        self._under_way: set[int] = set()
        self._again: set[int] = set()  # asked for while under way
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self.not_answers = 0

    @property
    def waiting(self) -> int:
        """Messages that wait for their turn or for an answer."""
        return len(self._due) + len(self._under_way)

    def add(self, outbox_id: int) -> None:
        """A row that was just committed; it is sent as soon as the window allows."""
        if outbox_id in self._under_way:
            self._again.add(outbox_id)
        else:
            heapq.heappush(self._due, (clock.monotonic_s(), outbox_id))
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled, beginning with every row that has no answer yet."""
        self._due.clear()
        self._under_way.clear()
        rows = self._books.reader.execute("SELECT id FROM outbox WHERE answered_ms IS NULL ORDER BY id")
        for row in rows.fetchall():
            self.add(row["id"])
        try:
            while True:
                self._wake.clear()
                wait_s = self._dispatch()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_WITHIN_S)

    def _dispatch(self) -> float | None:
        """Start whatever is due; seconds until something may be due, None for nothing before a wake."""
        while self._due and len(self._under_way) < self._window.size:
            now_s = clock.monotonic_s()
            cut_s = self._faults.unreachable_for_s()
            free_at_s = max(self._due[0][0], self._window.paused_until_s, now_s + cut_s)
            if free_at_s > now_s:
                return min(free_at_s - now_s, 1.0)  # a command may end a cut early
            _, outbox_id = heapq.heappop(self._due)
            if outbox_id not in self._under_way:
                self._start(outbox_id)
        return None

    def _start(self, outbox_id: int) -> None:
        self._under_way.add(outbox_id)
        self._spawn(self._turn(outbox_id))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _turn(self, outbox_id: int) -> None:
        """One sending of one message, and what follows for the next."""
        done = False
        try:
            row = self._row(outbox_id)
            done = row is None or await self._send(row)
        except Exception:
            log.exception("message %d could not be sent", outbox_id)
        self._under_way.discard(outbox_id)
        if done:
            self._tries.pop(outbox_id, None)
            if outbox_id in self._again:
                self._again.discard(outbox_id)
                heapq.heappush(self._due, (clock.monotonic_s(), outbox_id))
        else:
            tries = self._tries[outbox_id] = self._tries.get(outbox_id, 0) + 1
            heapq.heappush(self._due, (clock.monotonic_s() + clock.jitter(backoff_s(tries)), outbox_id))
        self._wake.set()

    def _row(self, outbox_id: int) -> _Row | None:
        """The row with its transfers' UETRs; None when it has been answered."""
        reader = self._books.reader
        row = reader.execute(
            "SELECT id, kind, key, body FROM outbox WHERE id = ? AND answered_ms IS NULL", (outbox_id,)
        ).fetchone()
        if row is None:
            return None
        found = reader.execute("SELECT uetr FROM transfer WHERE msg_id = ?", (row["key"],)).fetchall()
        return _Row(row["id"], row["kind"], row["key"], row["body"], frozenset(r["uetr"] for r in found))

    async def _send(self, row: _Row) -> bool:
        """True when the message has its answer in the books."""
        point = "send" if row.kind == "instruction" else "ack_send"
        self._faults.crash_point(f"before_{point}")
        copies = 2 if self._faults.sends_twice() else 1
        results = await asyncio.gather(*(self._copy(row) for _ in range(copies)))
        self._faults.crash_point(f"after_{point}")
        settled = False
        for answer in results:
            settled = (answer is not None and await self._settle(row, answer)) or settled
        return settled

    async def _copy(self, row: _Row) -> Answer | None:
        """One copy on the wire; None for no answer."""
        try:
            answer = await self._gateway.post(PATH, row.body, XML)
        except NoAnswer:
            self._window.unanswered(clock.monotonic_s(), None)
            return None
        if answer.status == TOO_MANY or answer.status >= SERVER_FAULT:
            self._window.unanswered(clock.monotonic_s(), answer.retry_after_s)
            return None
        delay_s = self._faults.answer_delay_s()
        if delay_s:
            self._spawn(self._late(row, answer, delay_s))
        if delay_s or self._faults.loses_answer():
            self._window.unanswered(clock.monotonic_s(), None)
            return None
        self._heard()
        return answer

    def _heard(self) -> None:
        """The gateway answers: after a silence everything that waits is due now, oldest first."""
        if self._window.answered():
            now_s = clock.monotonic_s()
            self._due = [(now_s, outbox_id) for outbox_id in sorted(outbox_id for _, outbox_id in self._due)]
            self._tries.clear()
            self._wake.set()

    async def _late(self, row: _Row, answer: Answer, delay_s: float) -> None:
        """An answer that arrives when the message has long been sent again."""
        await asyncio.sleep(delay_s)
        with suppress(BooksBusy, BooksUnanswered):
            await self._settle(row, answer)

    async def _settle(self, row: _Row, answer: Answer) -> bool:
        """Book what the answer says; False when it says nothing about this message."""
        if row.kind == "acknowledgement":
            if not 200 <= answer.status < 300:
                if answer.status == CONFLICT:
                    await self._return_forgotten(row)
                return self._nothing(row, f"status {answer.status}")
            await self._books.submit("ack", lambda conn: bookings.answered(conn, row.id, clock.now_ms()))
            return True
        try:
            evidence, statements = self._read(row, answer)
        except (SignatureRefused, reading_bank.MessageRefused, NotAnAnswer) as error:
            return self._nothing(row, str(error))
        kind = "accept" if any(s.said.word is Word.RECEIPT for s in statements) else "reject"
        await self.book(kind, evidence, statements, row.id)
        return True

    async def _return_forgotten(self, row: _Row) -> None:
        """The gateway does not know the return that we acknowledge: it has lost the transfer, and is sent it again."""
        found = self._books.reader.execute(
            "SELECT msg_id FROM transfer WHERE return_id = ? AND sent_again_ms IS NULL", (row.key,)
        ).fetchone()
        if found is not None:
            await self.send_again(found["msg_id"])

    async def send_again(self, msg_id: str) -> None:
        """Send a message that the gateway does not know any more: the same bytes. BooksBusy, BooksUnanswered."""
        log.warning("the gateway does not know message %s any more: it is sent again", msg_id)
        outbox_id = await self._books.submit("again", lambda conn: bookings.send_again(conn, msg_id, clock.now_ms()))
        if outbox_id is not None:
            self.add(outbox_id)

    def _nothing(self, row: _Row, why: str) -> bool:
        self.not_answers += 1
        log.info("message %s is not answered: %s", row.key, why)
        return False

    def _read(self, row: _Row, answer: Answer) -> tuple[Evidence, list[Statement]]:
        if answer.status not in (202, 400):
            raise NotAnAnswer(f"status {answer.status} is no answer about a transfer")
        evidence = self._gateway.verified(answer.body, answer.signature)
        report = reading_bank.read_status_report(answer.body)
        sent = Sent(self._bank, row.key, row.body, row.uetrs)
        if answer.status == 400:
            return evidence, answers.of_refusal(sent, report)

        def payload() -> bytes:
            return self._gateway.receipt_payload(answer.receipt)

        return evidence, answers.of_acceptance(sent, report, answer.body, answer.receipt, payload)

    async def book(
        self, kind: str, evidence: Evidence, statements: list[Statement], answers_outbox: int | None = None
    ) -> Applied:
        """Commit what a verified message says, then send what follows from it. BooksBusy, BooksUnanswered."""
        applied = await self._books.submit(
            kind,
            lambda conn: bookings.apply(
                conn, evidence, statements, acknowledgement_body, clock.now_ms(), answers_outbox
            ),
        )
        for outbox_id in applied.to_send:
            self.add(outbox_id)
        return applied
