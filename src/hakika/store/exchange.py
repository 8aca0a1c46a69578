"""Transactions in as few exchanges with PostgreSQL as their questions allow.

psycopg's pipeline sends each command by itself, and its transaction waits for the answer to BEGIN, to the last
statement and to COMMIT. So a batch that asks three questions and writes four statements was a dozen sends, and the
server was woken for most of them: on a busy machine that costs both sides more than what is asked for. Here commands
are kept until an answer is wanted or the pipeline ends, and leave in one send: BEGIN with the first questions, COMMIT
with the last writes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import send

from hakika.domain.reasons import InvariantBroken


class Connection(psycopg.AsyncConnection[Any]):
    """A connection whose pipelines keep their commands together."""

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[psycopg.AsyncPipeline]:
        """As psycopg's own; what is executed inside leaves when a result is fetched, or at the end."""
        if self._pipeline is None:
            self._pipeline = _Together(self)
        async with super().pipeline() as entered:
            yield entered


class _Together(psycopg.AsyncPipeline):
    """Overrides when and how the base class sends, not what; `tests/store/test_exchange.py` counts the sends."""

    def _communicate_gen(self) -> PQGen[None]:
        """Called after each statement, which may wait, and after a sync, which may not."""
        if self.result_queue and self.result_queue[-1] is None:
            yield from self.leave_gen()

    def _fetch_gen(self, *, flush: bool) -> PQGen[None]:
        """Called for a result that somebody waits for. All that is sent ends with a flush request or a sync."""
        if self.command_queue:
            self.command_queue.append(self.pgconn.send_flush_request)
            yield from self.leave_gen()
        yield from super()._fetch_gen(flush=False)

    def _exit_gen(self) -> PQGen[None]:
        """Raises what PostgreSQL refused; the base class may raise that nothing was done after it."""
        try:
            yield from super()._exit_gen()
        except psycopg.errors.PipelineAborted as aborted:
            if isinstance(aborted.__context__, psycopg.Error):
                raise aborted.__context__ from None
            raise

    def leave_gen(self) -> PQGen[None]:
        """Send all that is kept, to the last byte: whoever waits for an answer writes no more.

        libpq gathers what a pipeline is given, up to some 64 KB; the base class flushes it after each command. While it
        cannot write, `send` reads, so the two sides never wait for each other.
        """
        while self.command_queue:
            self.command_queue.popleft()()
        yield from send(self.pgconn)


def begin(conn: psycopg.AsyncConnection[Any]) -> None:
    """BEGIN, in a pipeline: it leaves with the first statement, and what is refused is raised by that one's fetch."""
    pipeline = _pipeline(conn)
    pipeline.command_queue.append(partial(conn.pgconn.send_query_params, b"BEGIN", None))
    pipeline.result_queue.append(None)


async def leave(conn: psycopg.AsyncConnection[Any]) -> None:
    """Send what has been asked in this pipeline, so that PostgreSQL is at work on it, and wait for no answer."""
    pipeline = _pipeline(conn)
    async with conn.lock:
        await conn.wait(pipeline.leave_gen())


def _pipeline(conn: psycopg.AsyncConnection[Any]) -> _Together:
    if not isinstance(conn._pipeline, _Together):
        raise InvariantBroken("nothing waits to be sent outside a pipeline")
    return conn._pipeline


@asynccontextmanager
async def transaction(conn: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """BEGIN, what is executed inside, and COMMIT, in one pipeline; on a lane, which rolls back what is refused.

    What PostgreSQL refuses is raised by the first fetch after it, or at the end. Raises InvariantBroken where a refusal
    was swallowed inside, so that COMMIT has rolled back.
    """
    async with conn.pipeline():
        begin(conn)
        yield
        ended = await conn.execute("COMMIT")
    if ended.statusmessage != "COMMIT":
        raise InvariantBroken(f"a transaction ended with {ended.statusmessage}")
