"""`P`, the unit of every ratio: pgbench's TPC-B-like transaction from the same PostgreSQL, at its best.

Scale 50, prepared statements, two threads, the best of 4, 16 and 32 clients: one transaction with three updates, a
select and an insert, one commit. It is what a well-tuned program reaches that makes one commit for each payment.
"""

import asyncio
import os
import re
from urllib.parse import urlsplit

from hakika.store import pg_host

SCALE = 50
CLIENTS = (4, 16, 32)
THREADS = 2
TRIAL_S = 6
DATABASE = "bench_p"
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


class PgbenchFailed(Exception):
    """It did not run; the message has its last words."""


class Pgbench:
    """P on one server. `prepare` once, `best` once, then `measure` beside each repeat."""

    def __init__(self, superuser_url: str) -> None:
        url = urlsplit(superuser_url)
        self._where = ["-h", str(url.hostname), "-p", str(url.port), "-U", str(url.username)]
        self._environment = {**os.environ, **pg_host.environment(), "PGPASSWORD": str(url.password)}
        self.clients = CLIENTS[1]
        self.by_clients: dict[int, float] = {}

    async def prepare(self) -> None:
        """Fill the tables of an existing database."""
        await self._run("-i", "-q", "-I", "dtGvp", "-s", str(SCALE), "-F", "90", DATABASE)

    async def best(self) -> None:
        """Try each number of clients and keep the fastest."""
        for clients in CLIENTS:
            self.by_clients[clients] = await self._transactions(clients, TRIAL_S)
        self.clients = max(self.by_clients, key=lambda clients: self.by_clients[clients])

    async def measure(self, seconds: int) -> float:
        """Transactions per second at the best number of clients."""
        return await self._transactions(self.clients, seconds)

    async def _transactions(self, clients: int, seconds: int) -> float:
        words = ["-M", "prepared", "-n", "-c", str(clients), "-j", str(THREADS), "-T", str(seconds), DATABASE]
        found = _TPS.search(await self._run(*words))
        if found is None:
            raise PgbenchFailed("pgbench said no tps")
        return float(found[1])

    async def _run(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            pg_host.binary("pgbench"),
            *self._where,
            *words,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode:
            raise PgbenchFailed(err.decode(errors="replace").strip().splitlines()[-1:] or "no word")
        return out.decode()
