"""Health's door for evidence on a real database: two vantages with keys, a desk with a token, people with addresses."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec
import psycopg

from hakika import clock
from hakika.channels.door import Door, serve
from hakika.channels.health_evidence import EvidenceChannel
from hakika.channels.web.forwarded import client_of
from hakika.channels.web.report_page import Choice, ReportPage
from hakika.services.health.evidence import Evidence
from hakika.store.lane import Lanes
from hakika.store.server_roles import RoleAccess
from hakika.wire.health_api import ProbeReport, ProbeReports
from hakika.wire.jws import new_key_pair, sign_detached

COMPONENTS = ("corridor:bank-a", "corridor:bank-b", "channel:tracking", "product:bank-to-wallet", "role:core")
CHOICES = (Choice("corridor:bank-a", "Mlima Bank", True), Choice("channel:tracking", "Tracking page", False))
DESK_TOKEN = "token-of-bank-a's-desk"
KEYS = {f"probe-{number}": new_key_pair() for number in (1, 2)}
PERSON_KEY = "a key of persons, long enough"


@dataclass
class Health:
    """The door, its service and who knocks."""

    evidence: Evidence
    http: httpx2.AsyncClient
    reader_url: str
    doubted: set[str]

    async def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.reader_url) as conn:
            return await (await conn.execute(statement, values)).fetchall()

    async def refused(self) -> dict[str, int]:
        """Everything that was not taken, by kind."""
        await self.evidence.flush()
        return dict(await self.rows("SELECT kind, sum(count)::int FROM refused_input GROUP BY kind"))

    async def probes(self, *results: ProbeReport, vantage: str = "probe-1", **signing: Any) -> httpx2.Response:
        body = msgspec.json.encode(ProbeReports(signing.pop("says", vantage), list(results)))
        return await self.post_signed(body, vantage=vantage, **signing)

    async def post_signed(self, body: bytes, *, vantage: str, iat_s: int = 0, over: bytes = b"") -> httpx2.Response:
        key, kid = KEYS[vantage][0], f"{vantage}-1"
        signature = sign_detached(over or body, key, kid, iat_s or clock.now_ms() // 1000)
        return await self.http.post("/probes", content=body, headers={"X-JWS-Signature": signature})

    async def report(self, address: str = "198.51.100.1", **fields: str) -> httpx2.Response:
        return await self.http.post("/report", data=fields, headers={"X-Forwarded-For": address})

    async def desk(self, reports: Any, token: str = DESK_TOKEN) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.post("/desk-reports", json={"reports": reports}, headers=headers)


def result(**changes: Any) -> ProbeReport:
    """A test that has just succeeded."""
    values: dict[str, Any] = {
        "id": clock.new_id().hex, "probe": "bank-to-wallet", "component": "corridor:bank-a", "at_ms": clock.now_ms(),
        "ok": True, "latency_ms": 120, "detail": "",
    } | changes  # fmt: skip
    return ProbeReport(**values)


@contextlib.asynccontextmanager
async def open_health(database: RoleAccess) -> AsyncIterator[Health]:
    """The door on a free port; 127.0.0.1 counts as a proxy of ours, so that people have addresses."""
    lanes = Lanes(database.app_url, size=4, name="health test")
    evidence = Evidence(lanes, person_key=PERSON_KEY, components=COMPONENTS)
    doubted: set[str] = set()
    channel = EvidenceChannel(
        evidence,
        ReportPage("Hakika", "https://status.example/", CHOICES),
        keys={f"{vantage}-1": (vantage, public) for vantage, (_, public) in KEYS.items()},
        desks={"bank-a": DESK_TOKEN},
        unsure="product:bank-to-wallet",
        client=client_of(["127.0.0.0/8"]),
        closer=lambda: doubted,
    )
    running = await serve(Door(channel.routes(), concurrency_max=200), "127.0.0.1", 0)
    async with httpx2.AsyncClient(base_url=running.url, timeout=10, trust_env=False) as http:
        yield Health(evidence, http, database.reader_url, doubted)
    await running.stop()
    await lanes.close()
