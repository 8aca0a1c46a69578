"""What the core counts, over HTTP and real PostgreSQL, and who may ask for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import psycopg
import pytest
from core_kit import FAR_MS, an_id

from hakika.channels.core_api import Tokens, routes
from hakika.channels.door import Door, serve
from hakika.services.core.incarnation import raise_incarnation
from hakika.services.core.role import CoreRole, build
from hakika.store.server_roles import RoleAccess
from hakika.wire.health_api import Signals

GATEWAY, OPERATOR, HEALTH = "gateway-token", "operator-token", "health-token"
WALLET, TEST = "254712345678", "254110000001"


class Core:
    """A running core and somebody who asks it."""

    def __init__(self, role: CoreRole, url: str, http: httpx2.AsyncClient) -> None:
        self.role = role
        self.url = url
        self.http = http

    async def call(self, method: str, path: str, token: str, content: Any = None) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await self.http.request(method, self.url + path, json=content, headers=headers)).status_code

    async def credit(self, name: str, msisdn: str = WALLET, **changes: Any) -> int:
        one = {
            "id": an_id(name).hex(), "bank": "bank-a", "creditor_msisdn": msisdn, "amount_minor": 1_000_00,
            "currency": "KES", "valid_until_ms": FAR_MS,
        } | changes  # fmt: skip
        return await self.call("POST", "/internal/instructions", GATEWAY, {"instructions": [one]})

    def counted(self, name: str) -> tuple[int, int, int, dict[str, int]]:
        """(arrived, ended, own errors, failed) since it was last asked for."""
        tally = self.role.signals.role if name == "role:core" else self.role.signals.api
        told = tally.closed()
        return told.arrived, told.ended, told.own_errors, told.failed


@pytest.fixture
async def core(core_database: RoleAccess) -> AsyncIterator[Core]:
    role = build(database_url=core_database.app_url, currency="KES", test_wallets=[TEST])
    await role.start()
    door = Door(routes(role, Tokens(GATEWAY, OPERATOR), HEALTH), concurrency_max=200)
    running = await serve(door, "127.0.0.1", 0)
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
        core = Core(role, running.url, http)
        for _ in range(100):
            if await core.call("GET", "/readyz", "none") == 200:
                break
            await asyncio.sleep(0.02)
        for msisdn in (WALLET, TEST):
            content = {"msisdn": msisdn, "name": "Asha Otieno", "currency": "KES"}
            await core.call("POST", "/wallets", OPERATOR, content)
        await core.call("POST", "/positions", OPERATOR, {"bank": "bank-a", "currency": "KES"})
        funding = {"id": an_id("fund").hex(), "amount_minor": 10**9}
        await core.call("POST", "/positions/bank-a/fundings", OPERATOR, funding)
        core.counted("channel:core-api")
        yield core
    await running.stop()
    await role.stop()


async def test_credits_are_counted_by_their_outcome(core: Core) -> None:
    for _ in range(2):
        assert await core.credit("posted") == 200
    await core.credit("unknown", "254799999999")
    await core.credit("late", valid_until_ms=1)
    await core.credit("posted", amount_minor=7)  # the same id with other content
    assert core.counted("role:core") == (5, 5, 1, {"validity_passed": 1, "senseless": 1})
    assert core.counted("channel:core-api") == (5, 5, 0, {})


async def test_wallets_of_tests_are_seen_nowhere(core: Core) -> None:
    await core.credit("test", TEST)
    await core.call("GET", f"/wallets/{TEST}", OPERATOR)
    await core.call("POST", "/internal/names", GATEWAY, {"msisdn": TEST, "amount_minor": 1, "currency": "KES"})
    await core.call("POST", f"/wallets/{TEST}/status", OPERATOR, {"status": "blocked"})
    assert core.counted("role:core") == (0, 0, 0, {})
    assert core.counted("channel:core-api") == (0, 0, 0, {})


async def test_the_api_counts_those_who_may_ask(core: Core) -> None:
    assert await core.call("GET", f"/wallets/{WALLET}", OPERATOR) == 200
    assert await core.call("GET", "/wallets/254700000009", OPERATOR) == 404
    assert await core.call("POST", "/wallets", OPERATOR, {"msisdn": "x"}) == 400
    assert await core.call("GET", f"/wallets/{WALLET}", "stranger") == 401
    assert await core.call("GET", "/internal/session", GATEWAY) == 200
    assert core.counted("channel:core-api") == (3, 3, 2, {})


async def test_a_dead_database_is_a_failure_of_both(core: Core, core_database: RoleAccess, pg_server: Any) -> None:
    with psycopg.connect(pg_server.url(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {core_database.database} ALLOW_CONNECTIONS false".encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (core_database.database,)
        )
        assert await core.credit("dead") == 503
        assert await core.call("GET", f"/wallets/{WALLET}", OPERATOR) == 503
        admin.execute(f"ALTER DATABASE {core_database.database} ALLOW_CONNECTIONS true".encode())
    assert core.counted("role:core") == (1, 1, 0, {"store_fault": 1})
    assert core.counted("channel:core-api") == (2, 2, 0, {"store_fault": 2})


async def test_a_restored_core_that_waits_says_so(core: Core, core_database: RoleAccess) -> None:
    await raise_incarnation(core_database.owner_url, "test")
    assert await core.credit("waits") == 503
    assert core.counted("role:core") == (1, 1, 0, {"awaiting_redrive": 1})
    assert core.counted("channel:core-api") == (1, 1, 0, {"awaiting_redrive": 1})


async def test_signals_are_for_health_alone(core: Core) -> None:
    async def ask(token: str, query: str = "?after=0") -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await core.http.get(f"{core.url}/internal/signals{query}", headers=headers)

    for token in ("none", GATEWAY, OPERATOR, HEALTH + "x", HEALTH[:-1]):
        refused = await ask(token)
        assert refused.status_code == 401
        assert b"role:core" not in refused.content
    told = msgspec.json.decode((await ask(HEALTH)).content, type=Signals)
    assert told.source == "core"
    assert told.life == core.role.signals.counts.life
    for query in ("?after=x", "?after=-1", "?after=%D9%A1", "?after=" + "9" * 40, "?after="):
        assert (await ask(HEALTH, query)).status_code == 400
    assert (await ask(HEALTH, "")).status_code == 200


async def test_without_a_token_of_health_there_is_no_such_route(core: Core) -> None:
    door = Door(routes(core.role, Tokens(GATEWAY, OPERATOR)), concurrency_max=9)
    running = await serve(door, "127.0.0.1", 0)
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {HEALTH}"}):
        answer = await core.http.get(f"{running.url}/internal/signals", headers=headers)
        assert answer.status_code == 404
    await running.stop()
