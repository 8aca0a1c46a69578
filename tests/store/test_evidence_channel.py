"""Evidence over HTTP on a real PostgreSQL: what counts once, and what ends as a count and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import psycopg
import pytest
from evidence_kit import DESK_TOKEN, KEYS, Health, open_health, result

from hakika import clock
from hakika.services.health.evidence import FRESH_MS, NETWORK_PERSONS_MAX, Refused
from hakika.store.lane import NoAnswer
from hakika.store.server_roles import RoleAccess
from hakika.wire.health_api import ProbeReports
from hakika.wire.jws import new_key_pair, sign_detached


@pytest.fixture
async def health(health_database: RoleAccess) -> AsyncIterator[Health]:
    async with open_health(health_database) as opened:
        yield opened


# --- vantages


async def test_a_vantages_results_are_stored_with_their_own_time(health: Health) -> None:
    at_ms = clock.now_ms() - 300_000
    late = result(at_ms=at_ms, ok=False, detail="not_accepted", latency_ms=20_000)
    answer = await health.probes(result(), late)
    assert (answer.status_code, answer.json()) == (200, {"stored": 2, "refused": 0})
    rows = await health.rows("SELECT vantage, probe, component, at_ms, ok, latency_ms, detail FROM probe_result")
    assert ("probe-1", "bank-to-wallet", "corridor:bank-a", at_ms, False, 20_000, "not_accepted") in rows


async def test_a_message_played_again_changes_nothing(health: Health) -> None:
    body = msgspec.json.encode(ProbeReports("probe-1", [result(), result()]))
    first = await health.post_signed(body, vantage="probe-1")
    copies = await asyncio.gather(*[health.post_signed(body, vantage="probe-1") for _ in range(8)])
    assert first.json() == {"stored": 2, "refused": 0}
    assert {answer.text for answer in copies} == {'{"stored":0,"refused":2}'}
    assert await health.rows("SELECT count(*) FROM probe_result") == [(2,)]
    assert await health.refused() == {Refused.PROBE_AGAIN: 16}


async def test_a_vantage_is_told_what_is_in_doubt(health: Health) -> None:
    assert (await health.probes()).json() == {"stored": 0, "refused": 0}
    health.doubted.update(("corridor:bank-b", "corridor:bank-a"))
    assert (await health.probes(result())).json() == {
        "stored": 1, "refused": 0, "closer": ["corridor:bank-a", "corridor:bank-b"],
    }  # fmt: skip
    assert (await health.probes(vantage="probe-2")).json()["closer"] == ["corridor:bank-a", "corridor:bank-b"]


@pytest.mark.parametrize("how", ["no signature", "another's key", "another body", "stale", "future", "unknown kid"])
async def test_forged_results_end_as_a_count(health: Health, how: str) -> None:
    body = msgspec.json.encode(ProbeReports("probe-1", [result(ok=False)]))
    now_s = clock.now_ms() // 1000
    stranger, _ = new_key_pair()
    headers = {
        "no signature": {},
        "another's key": {"X-JWS-Signature": sign_detached(body, stranger, "probe-1-1", now_s)},
        "another body": {"X-JWS-Signature": sign_detached(body + b" ", KEYS["probe-1"][0], "probe-1-1", now_s)},
        "stale": {"X-JWS-Signature": sign_detached(body, KEYS["probe-1"][0], "probe-1-1", now_s - 90)},
        "future": {"X-JWS-Signature": sign_detached(body, KEYS["probe-1"][0], "probe-1-1", now_s + 90)},
        "unknown kid": {"X-JWS-Signature": sign_detached(body, KEYS["probe-1"][0], "probe-9-1", now_s)},
    }[how]
    answer = await health.http.post("/probes", content=body, headers=headers)
    assert answer.status_code == 401
    assert await health.rows("SELECT count(*) FROM probe_result") == [(0,)]
    assert await health.refused() == {Refused.PROBE_SIGNATURE: 1}


async def test_a_vantage_speaks_in_its_own_name_alone(health: Health) -> None:
    answer = await health.probes(result(ok=False), vantage="probe-2", says="probe-1")
    assert (answer.status_code, answer.json()["field"]) == (401, "vantage")
    assert await health.rows("SELECT count(*) FROM probe_result") == [(0,)]
    assert await health.refused() == {Refused.PROBE_VANTAGE: 1}


BAD_RESULTS: list[tuple[dict[str, Any], Refused]] = [
    ({"at_ms": -FRESH_MS - 1_000}, Refused.PROBE_OLD),
    ({"at_ms": 6_000}, Refused.PROBE_FUTURE),
    ({"component": "corridor:bank-z"}, Refused.PROBE_COMPONENT),
    ({"component": "corridor:<script>"}, Refused.PROBE_COMPONENT),
    ({"id": "not an id"}, Refused.PROBE_FORM),
    ({"detail": "<script>alert(1)</script>"}, Refused.PROBE_FORM),
    ({"detail": "x" * 81}, Refused.PROBE_FORM),
    ({"probe": "Bank To Wallet"}, Refused.PROBE_FORM),
    ({"latency_ms": -1}, Refused.PROBE_FORM),
    ({"latency_ms": 10**9}, Refused.PROBE_FORM),
]


@pytest.mark.parametrize(("changes", "why"), BAD_RESULTS)
async def test_results_that_do_not_count_do_not_spoil_the_others(
    health: Health, changes: dict[str, Any], why: Refused
) -> None:
    if "at_ms" in changes:
        changes = {"at_ms": clock.now_ms() + changes["at_ms"]}
    answer = await health.probes(result(**changes), result())
    assert answer.json() == {"stored": 1, "refused": 1}
    assert await health.refused() == {why: 1}


async def test_a_message_of_too_many_results_or_of_no_form_is_refused(health: Health) -> None:
    assert (await health.probes(*[result() for _ in range(51)])).status_code == 400
    for body in (b"", b"{", b"[]", b'{"vantage":"probe-1","results":[{"id":1}]}', b"[" * 50_000):
        assert (await health.post_signed(body, vantage="probe-1")).status_code == 400
    assert await health.rows("SELECT count(*) FROM probe_result") == [(0,)]
    assert await health.refused() == {Refused.PROBE_FORM: 6}


async def test_a_vantage_that_floods_is_slowed_and_the_other_is_not(health: Health) -> None:
    answers = [await health.probes(result()) for _ in range(45)]
    assert 429 in {answer.status_code for answer in answers}
    assert (await health.probes(result(), vantage="probe-2")).status_code == 200
    assert (await health.refused())[Refused.PROBE_FLOOD] >= 1


async def test_a_lost_commit_reply_is_settled_by_the_same_ids(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    run = health.evidence._lanes.run

    async def lose(work: Any, *, deadline_s: float) -> Any:
        await run(work, deadline_s=deadline_s)
        raise NoAnswer("the reply is lost")

    body = msgspec.json.encode(ProbeReports("probe-1", [result()]))
    monkeypatch.setattr(health.evidence._lanes, "run", lose)
    assert (await health.post_signed(body, vantage="probe-1")).status_code == 503
    monkeypatch.undo()
    assert (await health.post_signed(body, vantage="probe-1")).status_code == 200
    assert await health.rows("SELECT count(*) FROM probe_result") == [(1,)]


# --- people


async def test_a_person_counts_once_an_hour_and_component(health: Health) -> None:
    for _ in range(3):
        answer = await health.report(component="corridor:bank-a")
        assert answer.status_code == 200
        assert "Counted" in answer.text
    await health.report(component="channel:tracking")
    await health.report(address="203.0.113.9", component="corridor:bank-a")
    found = await health.rows(
        "SELECT component, count(*)::int, count(DISTINCT person)::int FROM report GROUP BY 1 ORDER BY 1"
    )
    assert found == [("channel:tracking", 1, 1), ("corridor:bank-a", 2, 2)]
    assert await health.refused() == {Refused.REPORT_AGAIN: 2}


async def test_nothing_of_a_person_but_a_keyed_hash_is_kept(health: Health) -> None:
    await health.report(address="198.51.100.77", component="corridor:bank-a", words="my name is Achieng")
    row = (await health.rows("SELECT to_jsonb(r)::text FROM report r"))[0][0]
    origin = (await health.rows("SELECT to_jsonb(o)::text FROM report_origin o"))[0][0]
    for word in ("198.51.100", "Achieng", "my name"):
        assert word not in row + origin


async def test_where_a_report_came_from_is_known(health: Health) -> None:
    await health.report(component="corridor:bank-a", **{"from": "tracking"})
    await health.report(component="channel:tracking")
    assert await health.rows("SELECT component, source FROM report ORDER BY 1") == [
        ("channel:tracking", "status_page"),
        ("corridor:bank-a", "tracking_page"),
    ]


async def test_the_status_page_names_components_by_its_own_ids(health: Health) -> None:
    await health.report(component="corridor-bank-a")
    assert await health.rows("SELECT component FROM report") == [("corridor:bank-a",)]


async def test_who_is_not_sure_reports_the_product(health: Health) -> None:
    assert (await health.report(component="")).status_code == 200
    assert await health.rows("SELECT component FROM report") == [("product:bank-to-wallet",)]


@pytest.mark.parametrize("component", ["corridor:bank-z", "<script>alert(1)</script>", "x" * 500, "' OR 1=1 --"])
async def test_script_and_unknown_components_have_no_effect_beyond_a_count(health: Health, component: str) -> None:
    answer = await health.report(component=component)
    assert answer.status_code == 400
    assert component not in answer.text
    assert "<script" not in answer.text
    assert await health.rows("SELECT count(*) FROM report") == [(0,)]
    assert await health.refused() == {Refused.REPORT_COMPONENT: 1}


async def test_bodies_that_are_no_form_are_counted(health: Health) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers, body, status in (
        ({"Content-Type": "application/json"}, b'{"component":"corridor:bank-a"}', 400),
        (form, b"component=%ff%fe", 400),
        (form, b"&".join(b"a=1" for _ in range(100)), 400),
        (form, b"component=" + b"x" * 3_000, 413),
    ):
        assert (await health.http.post("/report", content=body, headers=headers)).status_code == status
    assert await health.refused() == {Refused.REPORT_FORM: 3}
    assert await health.rows("SELECT count(*) FROM report") == [(0,)]


async def test_a_flood_from_one_address_counts_as_one_person(health: Health) -> None:
    answers = await asyncio.gather(*[health.report(component="corridor:bank-a") for _ in range(60)])
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 20
    assert statuses.count(429) == 40
    assert await health.rows("SELECT count(*) FROM report") == [(1,)]
    refused = await health.refused()
    assert refused == {Refused.REPORT_AGAIN: 19, Refused.REPORT_FLOOD: 40}


async def test_a_network_counts_for_a_bounded_number_of_persons(health: Health) -> None:
    told = [health.report(address=f"198.51.100.{n}", component="corridor:bank-a") for n in range(1, 81)]
    assert {answer.status_code for answer in await asyncio.gather(*told)} == {200}
    assert await health.rows("SELECT count(*) FROM report") == [(NETWORK_PERSONS_MAX,)]
    assert await health.refused() == {Refused.REPORT_NETWORK: 80 - NETWORK_PERSONS_MAX}
    await health.report(address="198.51.101.1", component="corridor:bank-a")
    await health.report(address="198.51.100.80", component="channel:tracking")
    assert await health.rows("SELECT count(*) FROM report") == [(NETWORK_PERSONS_MAX + 2,)]


async def test_an_ipv6_network_of_one_customer_is_one_person(health: Health) -> None:
    for n in range(5):
        await health.report(address=f"2001:db8:1:2::{n + 1}", component="corridor:bank-a")
    assert await health.rows("SELECT count(*) FROM report") == [(1,)]


ONE_REPORT = """
INSERT INTO report VALUES (gen_random_uuid(), 1, 'c', decode(repeat('00', 32), 'hex'), 'feed', '2026-01-01', 5)
"""


async def test_postgresql_itself_refuses_a_second_report_and_a_bound_passed(health_database: RoleAccess) -> None:
    async with await psycopg.AsyncConnection.connect(health_database.app_url, autocommit=True) as conn:
        await conn.execute(ONE_REPORT)
        with pytest.raises(psycopg.errors.UniqueViolation):
            await conn.execute(ONE_REPORT)
        with pytest.raises(psycopg.errors.CheckViolation):
            await conn.execute("INSERT INTO report_origin VALUES (decode(repeat('00', 32), 'hex'), 'c', 0, 1001)")


# --- desks


async def test_a_desk_counts_each_customer_once(health: Health) -> None:
    batch = [{"component": "corridor:bank-a", "customer": f"c{n % 400}"} for n in range(1_000)]
    answer = await health.desk(batch)
    assert answer.json() == {"stored": 400, "again": 600, "refused": 0}
    again = await health.desk([{"component": "corridor:bank-a", "customer": "c7"}])
    assert again.json() == {"stored": 0, "again": 1, "refused": 0}
    assert await health.rows("SELECT count(*), min(source) FROM report") == [(400, "desk")]
    assert await health.refused() == {Refused.DESK_AGAIN: 601}


async def test_a_desk_is_bounded_too(health: Health) -> None:
    for part in range(3):
        batch = [{"component": "corridor:bank-a", "customer": f"c{part}-{n}"} for n in range(600)]
        answer = await health.desk(batch)
    assert answer.json() == {"stored": 0, "again": 0, "refused": 600}
    assert await health.rows("SELECT count(*) FROM report") == [(1_000,)]
    assert (await health.refused())[Refused.DESK_BOUND] == 800


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"component": "corridor:bank-b"}, Refused.DESK_COMPONENT),
        ({"component": "corridor:bank-z"}, Refused.DESK_COMPONENT),
        ({"customer": ""}, Refused.DESK_FORM),
        ({"customer": "x" * 65}, Refused.DESK_FORM),
        ({"at_ms": 1}, Refused.DESK_OLD),
        ({"at_ms": 2**52}, Refused.DESK_OLD),
    ],
)
async def test_what_a_desk_may_not_say_is_counted(health: Health, changes: dict[str, Any], why: Refused) -> None:
    good = {"component": "channel:tracking", "customer": "c1", "at_ms": clock.now_ms() - 60_000}
    answer = await health.desk([good, {"component": "corridor:bank-a", "customer": "c2"} | changes])
    assert answer.json() == {"stored": 1, "again": 0, "refused": 1}
    assert await health.refused() == {why: 1}


async def test_a_desk_without_its_token_and_batches_of_no_form(health: Health) -> None:
    good = [{"component": "corridor:bank-a", "customer": "c"}]
    for token in ("y", "x", DESK_TOKEN[:-1]):
        assert (await health.desk(good, token)).status_code == 401
    assert (await health.desk([*good, {"component": "corridor:bank-a"}])).status_code == 400
    assert (await health.desk(good * 1_001)).status_code == 400
    assert await health.rows("SELECT count(*) FROM report") == [(0,)]
    assert await health.refused() == {Refused.DESK_TOKEN: 3, Refused.DESK_FORM: 2}


async def test_who_is_refused_again_and_again_is_told_to_wait(health: Health) -> None:
    statuses = [(await health.desk([], "x")).status_code for _ in range(30)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert await health.refused() == {Refused.DESK_TOKEN: 30}
