"""The routes: what each link is answered with, and that a crawler with a link learns nothing it should not."""

import json
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from page_samples import HELD, RETURNED, at

from hakika import clock
from hakika.channels.door import Door, Request, Response, serve
from hakika.channels.web.limiter import Limiter
from hakika.channels.web.reference import decode_reference, encode_reference
from hakika.channels.web.routes import TrackingLimits, tracking_routes
from hakika.channels.web.view import TrackingView
from hakika.domain.reasons import InvariantBroken
from hakika.services.gateway.tracking import NotKnown

KNOWN = HELD.reference
UNKNOWN = encode_reference(bytes(16))
ODD = ("x", KNOWN.upper(), KNOWN[:-1], KNOWN + "a", "..", "%00", "a" * 4000, KNOWN + ".json", "é" * 26)


class Stored:
    """A look-up over one known reference, which can be made to fail."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.fault: Exception | None = None

    async def __call__(self, reference: bytes) -> TrackingView | None:
        self.asked.append(reference)
        if self.fault:
            raise self.fault
        return HELD if reference == decode_reference(KNOWN) else None


Ask = Callable[..., Awaitable[Response]]


@pytest.fixture
def stored() -> Stored:
    return Stored()


def asker(stored: Stored, limits: TrackingLimits | None = None) -> Ask:
    routes = {route.path_pattern: route.handler for route in tracking_routes(stored, limits)}

    async def ask(
        ref: str,
        *,
        form: str = "/t/{ref}",
        query: dict[str, str] | None = None,
        client: str = "192.0.2.1",
        **headers: str,
    ) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await routes[form](Request("GET", f"/t/{ref}", query or {}, named, b"", client, {"ref": ref}))

    return ask


def private(response: Response) -> None:
    headers = dict(response.headers)
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"].startswith("noindex")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_known_link_gets_its_page_in_the_language_asked_for(stored: Stored) -> None:
    ask = asker(stored)
    answer = await ask(KNOWN, accept_language="sw-KE,en;q=0.5")
    assert answer.status == 200 and answer.content_type == "text/html; charset=utf-8"
    assert b'<html lang="sw">' in answer.body and dict(answer.headers)["content-language"] == "sw"
    answer = await ask(KNOWN, query={"lang": "fr", "look": "once"}, accept_language="sw")
    assert b'<html lang="fr">' in answer.body and b"http-equiv" not in answer.body
    private(answer)


async def test_json_by_its_path_and_by_accept(stored: Stored) -> None:
    ask = asker(stored)
    by_path = await ask(KNOWN, form="/t/{ref}.json")
    by_accept = await ask(KNOWN, accept="application/json")
    assert by_path == by_accept
    assert by_path.status == 200 and json.loads(by_path.body)["holder"] == "hakika"
    private(by_path)


async def test_wrong_and_unknown_references_get_the_same_answer(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: at(15, 0))
    ask = asker(stored)
    for form in ("/t/{ref}", "/t/{ref}.json"):
        unknown = await ask(UNKNOWN, form=form, client="198.51.100.9")
        assert unknown.status == 404
        private(unknown)
        for number, odd in enumerate(ODD):
            assert await ask(odd, form=form, client=f"192.0.2.{number}") == unknown
    assert set(stored.asked) == {bytes(16)}  # nothing is looked up for what is no reference


async def test_when_the_lookup_fails_the_answer_says_since_when(stored: Stored) -> None:
    ask = asker(stored)
    stored.fault = NotKnown(at(14, 12))
    answer = await ask(KNOWN)
    assert answer.status == 503 and b"14:12" in answer.body and dict(answer.headers)["retry-after"] == "20"
    private(answer)
    answer = await ask(KNOWN, accept="application/json")
    assert answer.status == 503
    assert json.loads(answer.body)["not_known_since"] == "2023-07-27T11:12:00.000Z"
    private(answer)


async def test_any_other_fault_is_not_known_since_the_last_answer(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [at(14, 0)]
    monkeypatch.setattr(clock, "now_ms", lambda: now[0])
    ask = asker(stored)
    now[0] = at(14, 20)
    await ask(UNKNOWN)
    stored.fault = OSError("gone")
    now[0] = at(14, 40)
    answer = await ask(KNOWN, form="/t/{ref}.json")
    content = json.loads(answer.body)
    assert (content["not_known_since"], content["as_of"]) == ("2023-07-27T11:20:00.000Z", "2023-07-27T11:40:00.000Z")
    assert "gone" not in answer.body.decode()


async def test_a_bug_is_not_dressed_up_as_an_outage(stored: Stored) -> None:
    stored.fault = InvariantBroken("a bug")
    with pytest.raises(InvariantBroken):
        await asker(stored)(KNOWN)


async def test_a_thousand_guesses_are_refused_and_real_links_still_answer(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: 1000.0)
    generous = TrackingLimits(looks=Limiter(50.0, 5000.0, 100))
    ask = asker(stored, generous)
    answers = [(await ask(encode_reference(n.to_bytes(16)))).status for n in range(1000)]
    assert answers.count(404) <= 20 and answers[-1] == 429
    refused = await ask(UNKNOWN)
    assert int(dict(refused.headers)["retry-after"]) >= 1
    private(refused)
    assert (await ask(KNOWN)).status == 200  # the same carrier's address, another customer


async def test_guesses_from_many_addresses_share_one_budget(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: 1000.0)
    ask = asker(stored)
    answers = [(await ask(UNKNOWN, client=f"10.0.{n // 250}.{n % 250}")).status for n in range(500)]
    assert answers.count(404) == 200 and answers[-1] == 429
    assert (await ask(KNOWN, client="10.9.9.9")).status == 200


async def test_an_address_that_asks_too_much_waits(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: 1000.0)
    ask = asker(stored)
    answers = [await ask(KNOWN) for _ in range(301)]
    assert [answer.status for answer in answers] == [200] * 300 + [429]
    assert dict(answers[-1].headers)["retry-after"] == "1"
    assert b'<html lang="en">' in answers[-1].body
    as_json = await ask(KNOWN, form="/t/{ref}.json")
    assert as_json.status == 429 and as_json.content_type == "application/problem+json"
    assert (await ask(KNOWN, client="192.0.2.2")).status == 200
    assert len(stored.asked) == 301


async def test_through_the_door_with_get_head_and_nothing_else() -> None:
    async def lookup(reference: bytes) -> TrackingView | None:
        return RETURNED if reference == decode_reference(KNOWN) else None

    running = await serve(Door(tracking_routes(lookup), concurrency_max=10), "127.0.0.1", 0)
    try:
        async with httpx2.AsyncClient(base_url=running.url) as client:
            page = await client.get(f"/t/{KNOWN}")
            head = await client.head(f"/t/{KNOWN}")
            assert (page.status_code, head.status_code, head.content) == (200, 200, b"")
            assert head.headers["content-security-policy"] == page.headers["content-security-policy"]
            assert (await client.get(f"/t/{KNOWN}.json")).json()["stage"] == "returned"
            assert (await client.get(f"/t/{UNKNOWN}")).status_code == 404
            assert (await client.get(f"/t/{KNOWN}", params={"lang": "sw"})).text.startswith("<!doctype html>")
            assert (await client.post(f"/t/{KNOWN}")).status_code == 405
    finally:
        await running.stop()
