"""Tells each bank about its corridor: at once when something changes, and every ten seconds while nothing does.

The number is raised in the database before a statement leaves, so a restarted process never uses one again. A
statement that a bank does not take is tried after 0, 1, 3 and 10 s; then the next heartbeat has replaced it, because
an expired statement is worth nothing. The same document lies beside the status page as a file that any server may
hand out. Health's database gone: nothing is said, and the banks' last statements expire, which is the truth.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hakika import clock
from hakika.health.statements import CorridorFacts, statement_of
from hakika.outbound.statements import StatementClient
from hakika.store.durable import replace_public_file
from hakika.store.health import statements as rows
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.statements import HEARTBEAT_MS, Signed, Statement, sign

log = logging.getLogger(__name__)

STORE_S = 2.0
RETRY_S = (0.0, 1.0, 3.0)
LOOK_S = 0.5  # how often it is looked whether the facts have changed

Facts = Callable[[], Iterable[CorridorFacts]]


class Announcer:
    """One loop a bank, so that a bank that hangs delays no other."""

    def __init__(
        self,
        lanes: Lanes,
        facts: Facts,
        *,
        operator: str,
        key: Ed25519PrivateKey,
        urls: dict[str, str],
        folder: Path,
        scale: float,
    ) -> None:
        """`facts` gives the present facts of every corridor; `urls` where each bank takes statements."""
        self._lanes = lanes
        self._facts = facts
        self._operator = operator
        self._key = key
        self._folder = folder
        self._scale = scale
        self._clients = {bank: StatementClient(url) for bank, url in urls.items()}
        self._said: dict[str, Statement] = {}

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """A loop for each bank."""
        return [self._bank(bank) for bank in sorted(self._clients)]

    def routes(self) -> list[Any]:
        """None: banks are told, they do not ask."""
        return []

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.close()

    async def _bank(self, bank: str) -> None:
        pushing: asyncio.Task[None] | None = None
        while True:
            facts = next((one for one in self._facts() if one.bank == bank), None)
            if facts is not None and self._due(facts):
                try:
                    signed, statement = await self._issue(facts)
                except StoreFault as fault:
                    log.warning("nothing is said to %s: health's database does not answer: %s", bank, fault)
                else:
                    if pushing is not None:
                        pushing.cancel()
                    pushing = asyncio.create_task(self._push(bank, statement.seq, signed), name=f"statement {bank}")
            await asyncio.sleep(LOOK_S)

    def _due(self, facts: CorridorFacts) -> bool:
        """Something to say: the first time, a change, or the heartbeat."""
        before = self._said.get(facts.bank)
        if before is None:
            return True
        now_ms = clock.now_ms()
        fresh = statement_of(facts, operator=self._operator, seq=before.seq, now_ms=now_ms, scale=self._scale)
        return _core_of(fresh) != _core_of(before) or now_ms - before.issued_at_ms >= HEARTBEAT_MS - LOOK_S * 1000

    async def _issue(self, facts: CorridorFacts) -> tuple[Signed, Statement]:
        """Raise the number, keep a change, sign; the statement counts as said from here on."""
        before = self._said.get(facts.bank)

        async def number(conn: rows.Connection) -> tuple[Signed, Statement]:
            async with conn.transaction():
                seq = await rows.next_number(conn, facts.bank)
                now_ms = clock.now_ms()
                statement = statement_of(facts, operator=self._operator, seq=seq, now_ms=now_ms, scale=self._scale)
                signed = sign(statement, self._key, now_ms // 1000)
                if before is None or _core_of(before) != _core_of(statement):
                    await rows.keep_change(
                        conn, bank=facts.bank, seq=seq, issued_ms=now_ms, decision=statement.decision, body=signed.body
                    )
            return signed, statement

        signed, statement = await self._lanes.run(number, deadline_s=STORE_S)
        self._said[facts.bank] = statement
        try:
            await asyncio.to_thread(replace_public_file, self._folder / f"{facts.bank}.json", signed.file())
        except OSError as error:
            log.error("statement of %s is not written: %s", facts.bank, error)
        return signed, statement

    async def _push(self, bank: str, seq: int, signed: Signed) -> None:
        for pause_s in RETRY_S:
            await asyncio.sleep(pause_s)
            known = await self._clients[bank].push(signed)
            if known is not None:
                break
        else:
            log.warning("%s has not taken statement %d", bank, seq)
            return
        try:
            await self._lanes.run(
                lambda conn: rows.acknowledged(conn, bank=bank, seq=min(known, seq), now_ms=clock.now_ms()),
                deadline_s=STORE_S,
            )
        except StoreFault as fault:
            log.warning("acknowledgement of %s is not kept: %s", bank, fault)


def _core_of(statement: Statement) -> tuple[object, ...]:
    """What makes a change: a decision, its share and its incident; figures alone wait for the heartbeat."""
    return statement.decision, statement.resume.ramp_percent, statement.incident
