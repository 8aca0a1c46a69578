"""The core over HTTP on a real PostgreSQL: both APIs, tokens, bad input, lost replies and the re-drive."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import psycopg
import pytest
from core_kit import an_id

from hakika.channels.core_api import Tokens, routes
from hakika.channels.door import Door, Request, RequestRefused, serve
from hakika.services.core.incarnation import raise_incarnation
from hakika.services.core.posting import Poster
from hakika.services.core.role import CoreRole, build
from hakika.store.lane import NoAnswer
from hakika.store.server_roles import RoleAccess
from hakika.wire.core_api import Answers, NameAnswer, Session

FAR_MS = 10**14
GATEWAY, OPERATOR, VANTAGE = "gateway-token", "operator-token", "vantage-token"
TEST_WALLET = "254110000001"
WALLET = "254700000001"


class Core:
    """One core process's worth of role and door, and clients for both tokens."""

    def __init__(self, role: CoreRole, gateway: httpx2.AsyncClient, operator: httpx2.AsyncClient) -> None:
        self.role = role
        self.gateway = gateway
        self.operator = operator

    async def send(self, path: str, *instructions: dict[str, Any]) -> httpx2.Response:
        return await self.gateway.post(path, json={"instructions": list(instructions)})

    async def answers(self, path: str, *instructions: dict[str, Any]) -> Answers:
        response = await self.send(path, *instructions)
        assert response.status_code == 200, response.text
        return msgspec.json.decode(response.content, type=Answers)

    async def balance(self) -> int:
        return int((await self.operator.get(f"/wallets/{WALLET}")).json()["balance_minor"])


def instruction(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": an_id(name).hex(), "bank": "bank-a", "creditor_msisdn": WALLET, "amount_minor": 1_000_00,
        "currency": "KES", "valid_until_ms": FAR_MS,
    } | changes  # fmt: skip


@pytest.fixture
async def core(core_database: RoleAccess) -> AsyncIterator[Core]:
    role = build(database_url=core_database.app_url, currency="KES", test_wallets=[TEST_WALLET])
    await role.start()
    tokens = Tokens(GATEWAY, OPERATOR, VANTAGE)
    running = await serve(Door(routes(role, tokens), concurrency_max=200), "127.0.0.1", 0)

    def client(token: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=running.url, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    async with client(GATEWAY) as gateway, client(OPERATOR) as operator:
        for _ in range(100):
            if (await gateway.get("/readyz")).status_code == 200:
                break
            await asyncio.sleep(0.02)
        core = Core(role, gateway, operator)
        await operator.post("/wallets", json={"msisdn": WALLET, "name": "Asha Otieno", "currency": "KES"})
        await operator.post("/positions", json={"bank": "bank-a", "currency": "KES"})
        funded = await operator.post(
            "/positions/bank-a/fundings", json={"id": an_id("fund").hex(), "amount_minor": 10**9}
        )
        assert funded.json()["result"] == "posted"
        yield core
    await running.stop()
    await role.stop()


async def test_instructions_burns_and_inquiries(core: Core) -> None:
    told = await core.answers("/internal/instructions", instruction("a"), instruction("b", valid_until_ms=0))
    assert told.incarnation == 1
    assert [(a.result, a.reason, a.fee_minor) for a in told.answers] == [
        ("posted", None, 5_00),
        ("refused", "validity_passed", 0),
    ]
    ids = [an_id(name).hex() for name in "abcd"]
    burnt = await core.gateway.post("/internal/burns", json={"ids": ids[:3]})
    asked = await core.gateway.post("/internal/inquiries", json={"ids": ids})
    assert [a["result"] for a in burnt.json()["answers"]] == ["posted", "refused", "burnt"]
    assert [a["result"] for a in asked.json()["answers"]] == ["posted", "refused", "burnt", "unknown"]
    assert (await core.send("/internal/instructions", instruction("a", amount_minor=5))).json()["answers"][0] == {
        "id": ids[0], "result": "conflict", "reason": None, "fee_minor": 0, "slot": 0, "seq": 0, "head": "", "at_ms": 0,
    }  # fmt: skip
    assert await core.balance() == 995_00


async def test_64_parallel_copies_in_64_requests(core: Core) -> None:
    responses = await asyncio.gather(*[core.send("/internal/instructions", instruction("a")) for _ in range(64)])
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert await core.balance() == 995_00


@pytest.mark.parametrize("times", [1, 3])
async def test_a_lost_commit_reply_is_settled_by_the_same_ids(
    core: Core, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    execute, lost = Poster.execute, 0

    async def lose_the_reply(self: Poster, commands: Any) -> Any:
        nonlocal lost
        replies = await execute(self, commands)
        if lost < times:
            lost += 1
            raise NoAnswer("the reply is lost")
        return replies

    monkeypatch.setattr(Poster, "execute", lose_the_reply)
    told = await core.answers("/internal/instructions", instruction("a"), instruction("a"))
    assert [answer.result for answer in told.answers] == ["posted", "posted"]
    assert lost == times
    assert await core.balance() == 995_00


async def test_one_command_that_fails_by_itself_is_evidence_of_nothing(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = Poster.execute

    async def choke(self: Poster, commands: Any) -> Any:
        if any(command.id == an_id("bad") for command in commands):
            raise ValueError("a bug that one command meets")
        return await execute(self, commands)

    monkeypatch.setattr(Poster, "execute", choke)
    told = await core.answers("/internal/instructions", *[instruction(name) for name in ("a", "bad", "c")])
    assert [answer.result for answer in told.answers] == ["posted", "unknown", "posted"]


async def test_session_names_and_readiness(core: Core) -> None:
    session = msgspec.json.decode((await core.gateway.get("/internal/session")).content, type=Session)
    assert (session.incarnation, session.redriven) == (1, True)
    query = {"msisdn": WALLET, "amount_minor": 500_00, "currency": "KES"}
    cases: list[tuple[dict[str, Any], NameAnswer]] = [
        ({}, NameAnswer(True, "Asha Otieno", 5_00, None)),
        ({"msisdn": "254799999999"}, NameAnswer(False, reason="wallet_unknown")),
        ({"currency": "UGX"}, NameAnswer(True, "Asha Otieno", 0, "currency_mismatch")),
        ({"amount_minor": 250_000_01}, NameAnswer(True, "Asha Otieno", 20_00, "amount_limit")),
    ]
    for changes, expected in cases:
        response = await core.gateway.post("/internal/names", json=query | changes)
        assert msgspec.json.decode(response.content, type=NameAnswer) == expected
    assert (await core.gateway.get("/livez")).status_code == 200


async def test_after_a_restore_instructions_wait_for_the_redrive(core: Core, core_database: RoleAccess) -> None:
    assert (await core.send("/internal/redrive", instruction("x"))).status_code == 409
    await raise_incarnation(core_database.owner_url, "test")
    waiting = await core.send("/internal/instructions", instruction("a"))
    assert (waiting.status_code, waiting.headers["retry-after"]) == (503, "1")
    assert "re-drive" in waiting.json()["title"]
    funding = {"id": an_id("more").hex(), "amount_minor": 5}
    assert (await core.operator.post("/positions/bank-a/fundings", json=funding)).status_code == 503
    assert (await core.gateway.post("/internal/burns", json={"ids": [an_id("z").hex()]})).status_code == 200
    redriven = await core.answers("/internal/redrive", instruction("lost", valid_until_ms=0))
    assert (redriven.incarnation, redriven.answers[0].result) == (2, "posted")
    assert (await core.gateway.post("/internal/redriven", json={"incarnation": 1})).status_code == 409
    for _ in range(2):
        done = await core.gateway.post("/internal/redriven", json={"incarnation": 2})
        assert (done.status_code, done.json()["redriven"]) == (200, True)
    assert (await core.answers("/internal/instructions", instruction("a"))).answers[0].result == "posted"


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [
        ("POST", "/internal/instructions", OPERATOR),
        ("POST", "/internal/instructions", None),
        ("POST", "/internal/instructions", "x"),
        ("GET", "/internal/session", OPERATOR),
        ("POST", "/wallets", GATEWAY),
        ("POST", "/entries", GATEWAY),
        ("GET", "/accounts/acc_1", None),
    ],
)
async def test_without_the_right_token_nothing_is_told(core: Core, method: str, path: str, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    core.gateway.headers.pop("Authorization")
    response = await core.gateway.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["field"] == "Authorization"


GOOD = instruction("a")
BAD_INSTRUCTIONS: list[tuple[Any, str]] = [
    (b"{", "body"),
    (b"\xff\xfe", "body"),
    ({}, "body"),
    ({"instructions": [], "more": 1}, "body"),
    ({"instructions": [GOOD | {"more": 1}]}, "instructions[0]"),
    ({"instructions": [GOOD | {"id": "A" * 32}]}, "instructions[0].id"),
    ({"instructions": [GOOD | {"id": "12 4" * 8}]}, "instructions[0].id"),
    ({"instructions": [GOOD, GOOD | {"amount_minor": 0}]}, "instructions[1].amount_minor"),
    ({"instructions": [GOOD | {"amount_minor": 1.5}]}, "instructions[0].amount_minor"),
    ({"instructions": [GOOD | {"amount_minor": "5"}]}, "instructions[0].amount_minor"),
    ({"instructions": [GOOD | {"amount_minor": 10**15 + 1}]}, "instructions[0].amount_minor"),
    ({"instructions": [GOOD | {"currency": "kes"}]}, "instructions[0].currency"),
    ({"instructions": [GOOD | {"bank": "Bank A"}]}, "instructions[0].bank"),
    ({"instructions": [GOOD | {"creditor_msisdn": "+254700000001"}]}, "instructions[0].creditor_msisdn"),
    ({"instructions": [GOOD] * 1001}, "instructions"),
]


@pytest.mark.parametrize(("content", "field"), BAD_INSTRUCTIONS)
async def test_a_malformed_instruction_is_named(core: Core, content: Any, field: str) -> None:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    response = await core.gateway.post("/internal/instructions", content=body)
    assert response.status_code == 400, response.text
    told = response.json()
    assert told["field"] in (field, field.replace("[0]", "[...]")), "a decoder does not count list items"
    assert told["rule"]
    assert await core.balance() == 0


async def test_wallets_are_opened_looked_at_and_blocked(core: Core) -> None:
    opening = {"msisdn": "254700000002", "name": " Baraka ", "currency": "KES"}
    new = await core.operator.post("/wallets", json=opening)
    again = await core.operator.post("/wallets", json=opening)
    assert (new.status_code, again.status_code) == (201, 200)
    assert new.json() == again.json()
    assert new.json()["name"] == "Baraka"
    blocked = await core.operator.post("/wallets/254700000002/status", json={"status": "blocked"})
    assert blocked.json()["status"] == "blocked"
    told = await core.answers("/internal/instructions", instruction("a", creditor_msisdn="254700000002"))
    assert told.answers[0].reason == "wallet_blocked"
    for path, status in (("/wallets/254799999999", 404), ("/wallets/%00", 400), ("/positions/bank-z", 404)):
        assert (await core.operator.get(path)).status_code == status


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"msisdn": "+254700000001"}, "msisdn"),
        ({"msisdn": "254"}, "msisdn"),
        ({"msisdn": "999999999999999"}, "msisdn"),
        ({"msisdn": "٢٥٤٧٠٠٠٠٠٠٠١"}, "msisdn"),
        ({"name": "  "}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "x" * 141}, "name"),
        ({"currency": "UGX"}, "currency"),
    ],
)
async def test_a_wallet_that_cannot_be_is_refused_by_name(core: Core, changes: dict[str, str], field: str) -> None:
    opening = {"msisdn": "254700000002", "name": "Baraka", "currency": "KES"} | changes
    response = await core.operator.post("/wallets", json=opening)
    assert (response.status_code, response.json()["field"]) == (400, field)


async def test_a_vantages_token_opens_test_wallets_alone(core: Core) -> None:
    headers = {"Authorization": f"Bearer {VANTAGE}"}
    opening = {"msisdn": TEST_WALLET, "name": "Synthetic Test", "currency": "KES"}
    assert (await core.operator.get(f"/test-wallets/{TEST_WALLET}", headers=headers)).status_code == 404
    await core.operator.post("/wallets", json=opening)
    answer = await core.operator.get(f"/test-wallets/{TEST_WALLET}", headers=headers)
    assert (answer.status_code, answer.json()["msisdn"], answer.json()["balance_minor"]) == (200, TEST_WALLET, 0)
    assert (await core.operator.get(f"/test-wallets/{WALLET}", headers=headers)).status_code == 404
    for path in (f"/wallets/{WALLET}", "/internal/session"):
        assert (await core.operator.get(path, headers=headers)).status_code == 401
    for token in (GATEWAY, OPERATOR, ""):
        told = {"Authorization": f"Bearer{' ' if token else ''}{token}"}
        assert (await core.operator.get(f"/test-wallets/{TEST_WALLET}", headers=told)).status_code == 401


def test_without_a_token_of_vantages_none_is_taken() -> None:
    for given in ("", "Bearer", "Bearer ", "Bearer x"):
        request = Request("GET", "/test-wallets/1", {}, {"authorization": given}, b"", "127.0.0.1", {})
        with pytest.raises(RequestRefused):
            Tokens(GATEWAY, OPERATOR).check(request, "vantage")


async def test_fundings_are_posted_once(core: Core) -> None:
    for amount, status, result in ((500, 200, "posted"), (500, 200, "posted"), (501, 409, "conflict")):
        funding = {"id": an_id("twice").hex(), "amount_minor": amount}
        response = await core.operator.post("/positions/bank-a/fundings", json=funding)
        assert (response.status_code, response.json()["result"]) == (status, result)
    position = (await core.operator.get("/positions/bank-a")).json()
    assert position["balance_minor"] == position["available_minor"] == 10**9 + 500


async def test_entries_and_statements(core: Core) -> None:
    await core.answers("/internal/instructions", instruction("a"))
    wallet = (await core.operator.get(f"/wallets/{WALLET}")).json()["account"]
    position = (await core.operator.get("/positions/bank-a")).json()["account"]

    def order(name: str, kind: str, amount: int, **more: Any) -> dict[str, Any]:
        return {
            "id": an_id(name).hex(), "kind": kind, "debit": wallet, "credit": position, "amount_minor": amount,
            "currency": "KES",
        } | more  # fmt: skip

    pending = order("r", "pending", 900_00)
    sets = [
        [pending],
        [order("too much", "posted", 100_00)],
        [order("p", "post", 100_00, pending_id=pending["id"])],
        [order("zero", "posted", 0)],
    ]
    answer = (await core.operator.post("/entries", json={"sets": sets})).json()
    assert [[(one["result"], one["code"]) for one in results] for results in answer["sets"]] == [
        [("posted", "posted")],
        [("refused", "exceeds_credits")],
        [("posted", "posted")],
        [("malformed", "amount_not_positive")],
    ]
    first = (await core.operator.get(f"/accounts/{wallet}/entries", params={"limit": 2})).json()
    assert [line["kind"] for line in first["entries"]] == ["post", "pending"]
    rest = (await core.operator.get(f"/accounts/{wallet}/entries", params={"before": first["before"]})).json()
    assert [(line["id"], line["credits_posted"]) for line in rest["entries"]] == [(an_id("a").hex(), 995_00)]
    assert rest["before"] is None
    account = (await core.operator.get(f"/accounts/{wallet}")).json()
    assert (account["debits_pending"], account["debits_posted"], account["credits_posted"]) == (0, 100_00, 995_00)
    assert account["last_entry"] == an_id("p").hex()
    for path, status in (
        ("/accounts/acc_999", 404),
        ("/accounts/5", 400),
        (f"/accounts/{wallet}/entries?limit=0", 400),
    ):
        assert (await core.operator.get(path)).status_code == status


async def test_a_dead_database_is_no_answer_and_the_same_request_works_later(
    core: Core, core_database: RoleAccess, pg_server: Any
) -> None:
    with psycopg.connect(pg_server.url(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {core_database.database} ALLOW_CONNECTIONS false")
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (core_database.database,)
        )
        for response in (
            await core.send("/internal/instructions", instruction("a")),
            await core.gateway.get("/internal/session"),
            await core.gateway.get("/readyz"),
        ):
            assert response.status_code == 503
        admin.execute(f"ALTER DATABASE {core_database.database} ALLOW_CONNECTIONS true")
    assert (await core.answers("/internal/instructions", instruction("a"))).answers[0].result == "posted"
    assert await core.balance() == 995_00
