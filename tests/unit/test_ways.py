"""Each test of a way in against a small peer that speaks HTTP: what is good, and one word for each way to fail."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hakika.channels.door import Door, Request, Response, Route, serve
from hakika.health.vantage.probing import Memory, Outcome, Target, TestedBank
from hakika.health.vantage.ways import all_probes
from hakika.health.vantage.ways.bank_to_wallet import OPEN_MAX, BankToWallet
from hakika.health.vantage.ways.core_api import CoreApi
from hakika.health.vantage.ways.tracking_page import PAGE_MAX, TrackingPage
from hakika.outbound.probing import ProbingClient

REFERENCE = "abcdefghijklmnopqrstuvwxyz"
WALLET, BLOCKED = "254110000001", "254110000002"
UETR = "0190f3d0-0000-4000-8000-000000000001"
PAGE = f"<!doctype html><title>x</title>{REFERENCE}</html>\n".encode()


def as_json(content: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(content).encode())


@dataclass
class Peer:
    """Bank, gateway and core in one; each answer can be replaced, `slow` is how long one takes."""

    url: str = ""
    orders: list[dict[str, Any]] = field(default_factory=list)
    order: Response = field(default_factory=lambda: as_json({"result": "debited", "uetr": UETR}))
    booked: dict[str, Any] = field(
        default_factory=lambda: {"state": "accepted", "tracking_url": f"http://elsewhere.example/t/{REFERENCE}"}
    )
    tracked: list[Response] = field(default_factory=list)  # one a look, the last one for ever
    page: Response = field(default_factory=lambda: Response(200, PAGE, "text/html; charset=utf-8"))
    wallet: Response = field(default_factory=lambda: as_json({"msisdn": WALLET, "balance_minor": 7}))
    tokens: list[str] = field(default_factory=list)
    slow: set[str] = field(default_factory=set)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/customers/{number}/transfers", self._told("order", self._order)),
            Route("GET", "/transfers/{uetr}", self._told("booked", self._booked)),
            Route("GET", "/t/{ref}.json", self._told("tracked", self._tracked)),
            Route("GET", "/t/{ref}", self._told("page", self._page)),
            Route("GET", "/test-wallets/{msisdn}", self._told("wallet", self._wallet)),
        ]

    def _told(self, name: str, answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def told(request: Request) -> Response:
            if name in self.slow:
                await asyncio.sleep(30)
            return answer(request)

        return told

    def _order(self, request: Request) -> Response:
        self.orders.append(json.loads(request.body))
        return self.order

    def _booked(self, request: Request) -> Response:
        return as_json(self.booked)

    def _tracked(self, request: Request) -> Response:
        return self.tracked.pop(0) if len(self.tracked) > 1 else self.tracked[0]

    def _page(self, request: Request) -> Response:
        return self.page

    def _wallet(self, request: Request) -> Response:
        self.tokens.append(request.headers.get("authorization", ""))
        return self.wallet


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer(tracked=[as_json({"stage": "completed", "final": True, "reason": None})])
    running = await serve(Door(peer.routes(), concurrency_max=100), "127.0.0.1", 0)
    peer.url = running.url
    yield peer
    await running.stop(drain_s=0.1)


@pytest.fixture
async def target(peer: Peer, tmp_path: Path) -> AsyncIterator[Target]:
    client = ProbingClient()
    yield Target(
        vantage="probe-1",
        client=client,
        memory=Memory(tmp_path / "reference"),
        banks=[TestedBank("bank-a", peer.url, 201)],
        tracking_url=peer.url,
        core_url=peer.url,
        core_token="secret",
        test_wallet=WALLET,
        test_wallet_blocked=BLOCKED,
        deadline_s=1.2,
    )
    await client.close()


def bank(target: Target) -> BankToWallet:
    return BankToWallet(target, target.banks[0])


def stage(name: str, *, final: bool = False, reason: str | None = None) -> Response:
    return as_json({"stage": name, "final": final, "reason": reason})


def test_every_file_of_the_package_is_found(target: Target) -> None:
    found = {(probe.name, probe.component) for probe in all_probes(target)}
    assert found == {
        ("bank-to-wallet", "corridor:bank-a"),
        ("core-api", "channel:core-api"),
        ("tracking-page", "channel:tracking"),
    }


async def test_a_cent_that_arrives_and_one_that_comes_back(peer: Peer, target: Target) -> None:
    probe = bank(target)
    peer.tracked = [stage("held"), stage("sending"), stage("completed", final=True)]
    assert await probe.run() == Outcome(True)
    peer.tracked = [
        stage("coming_back", reason="wallet_blocked"),
        stage("returned", final=True, reason="wallet_blocked"),
    ]
    assert await probe.run() == Outcome(True)
    assert [order["creditor_msisdn"] for order in peer.orders] == [WALLET, BLOCKED]
    assert {(order["amount_minor"], order["currency"]) for order in peer.orders} == {(1, "KES")}
    assert len({order["request_id"] for order in peer.orders}) == 2
    assert target.memory.reference == REFERENCE
    assert not probe.waiting


STAGES: list[tuple[bool, Response, str]] = [
    (False, stage("held"), "held"),
    (False, stage("in_doubt"), "in_doubt"),
    (False, stage("coming_back"), "coming_back"),
    (False, stage("returned", final=True, reason="deadline_passed"), "returned_deadline_passed"),
    (False, stage("returned", final=True, reason="<script>"), "returned_script"),
    (True, stage("held"), "back_held"),
    (True, stage("coming_back", reason="wallet_blocked"), "back_coming_back"),
    (True, stage("returned", final=True, reason="deadline_passed"), "back_returned_deadline_passed"),
    (True, stage("completed", final=True), "back_completed"),
]


@pytest.mark.parametrize(("back", "tracked", "word"), STAGES)
async def test_how_far_a_transfer_came_is_one_word(
    peer: Peer, target: Target, back: bool, tracked: Response, word: str
) -> None:
    peer.tracked = [tracked]
    probe = bank(target)
    probe.turn = int(back)
    assert await probe.run() == Outcome(False, word)


ORDERS: list[tuple[Response, str]] = [
    (as_json({"result": "not_debited", "reason": "corridor_held"}), "not_debited_corridor_held"),
    (as_json({"result": "debited", "uetr": "../../etc"}), "bank_wrong"),
    (as_json({"result": "debited"}), "bank_wrong"),
    (as_json([1]), "not_debited"),
    (Response(200, b"\xff" * 10), "not_debited"),
    (as_json({}, 500), "bank_status_500"),
    (as_json({}, 503), "bank_status_503"),
    (as_json({}, 404), "bank_status_404"),
    (Response(200, b"x" * 300_000), "bank_too_large"),
    (Response(302, b"", headers=(("location", "http://127.0.0.1:1/"),)), "bank_status_302"),
]


@pytest.mark.parametrize(("order", "word"), ORDERS)
async def test_a_bank_that_does_not_take_the_order(peer: Peer, target: Target, order: Response, word: str) -> None:
    peer.order = order
    assert await bank(target).run() == Outcome(False, word)


async def test_a_bank_that_is_asked_again_is_asked_under_the_same_id(peer: Peer, target: Target) -> None:
    peer.order = as_json({}, 503)
    await bank(target).run()
    first, second = peer.orders
    assert first == second


async def test_a_bank_that_is_not_there_or_silent(peer: Peer, target: Target) -> None:
    gone = BankToWallet(target, TestedBank("bank-a", "http://127.0.0.1:1", 201))
    assert await gone.run() == Outcome(False, "bank_unreachable")
    peer.slow = {"order"}
    began = asyncio.get_running_loop().time()
    assert await bank(target).run() == Outcome(False, "bank_no_answer")
    assert asyncio.get_running_loop().time() - began < target.deadline_s + 0.5


async def test_a_debit_that_never_reaches_custody(peer: Peer, target: Target) -> None:
    peer.booked = {"state": "debited", "tracking_url": None}
    assert await bank(target).run() == Outcome(False, "not_accepted")
    peer.booked = {"state": "rejected", "tracking_url": None, "reason": "AC04"}
    assert await bank(target).run() == Outcome(False, "rejected_ac04")


@pytest.mark.parametrize("tracking", ["dead", "503", "nonsense"])
async def test_a_dead_tracking_page_is_no_fault_of_the_corridor(peer: Peer, target: Target, tracking: str) -> None:
    if tracking == "dead":
        peer.slow = {"tracked"}
    peer.tracked = [Response(503, b"{}") if tracking == "503" else Response(200, b"<html>")]
    peer.booked["state"] = "accepted"
    assert await bank(target).run() == Outcome(False, "not_final")
    peer.booked["state"] = "completed"
    assert await bank(target).run() == Outcome(True)


async def test_while_an_outage_lasts_tests_do_not_become_the_backlog(peer: Peer, target: Target) -> None:
    probe = bank(target)
    peer.tracked = [stage("held")]
    words = [(await probe.run()).detail for _ in range(OPEN_MAX + 3)]
    assert words == ["held", "back_held"] * (OPEN_MAX // 2) + ["still_waiting"] * 3
    assert len(peer.orders) == OPEN_MAX
    peer.booked["state"] = "completed"
    peer.tracked = [stage("completed", final=True)]
    assert (await probe.run()).ok
    assert len(peer.orders) == OPEN_MAX + 1
    assert len(probe.waiting) == OPEN_MAX - 1


async def test_tests_side_by_side_do_not_take_each_other_for_waiting(peer: Peer, target: Target) -> None:
    probe = bank(target)
    peer.tracked = [stage("held")] * 6 + [stage("completed", final=True)]
    probe.target = replace(target, test_wallet_blocked="")
    outcomes = await asyncio.gather(*(probe.run() for _ in range(OPEN_MAX + 2)))
    assert outcomes == [Outcome(True)] * (OPEN_MAX + 2)
    assert not probe.waiting


async def test_the_cores_own_api(peer: Peer, target: Target) -> None:
    probe = CoreApi(target)
    assert await probe.run() == Outcome(True)
    assert peer.tokens == ["Bearer secret"]
    for answer, word in (
        (as_json({}, 503), "core_busy"),
        (as_json({}, 401), "core_status_401"),
        (as_json({"msisdn": BLOCKED, "balance_minor": 7}), "core_wrong"),
        (as_json({"msisdn": WALLET, "balance_minor": "7"}), "core_wrong"),
        (Response(200, b"[" * 100_000), "core_wrong"),
    ):
        peer.wallet = answer
        assert await probe.run() == Outcome(False, word)


async def test_the_tracking_page_is_there_right_and_small(peer: Peer, target: Target) -> None:
    probe = TrackingPage(target)
    assert await probe.run() is None
    target.memory.learn(REFERENCE)
    assert await probe.run() == Outcome(True)
    html = "text/html; charset=utf-8"
    for answer, word in (
        (Response(503, PAGE, html), "tracking_status_503"),
        (Response(200, PAGE, "application/json"), "tracking_wrong"),
        (Response(200, PAGE.replace(b"</html>", b""), html), "tracking_wrong"),
        (Response(200, PAGE.replace(REFERENCE.encode(), b""), html), "tracking_wrong"),
        (Response(200, PAGE.rjust(PAGE_MAX + 1), html), "tracking_large"),
        (Response(404, PAGE, html), "tracking_status_404"),
    ):
        peer.page = answer
        assert await probe.run() == Outcome(False, word)
    assert await probe.run() is None, "a reference that is unknown is of no more use"


def test_a_new_process_knows_a_reference(tmp_path: Path) -> None:
    file = tmp_path / "reference"
    Memory(file).learn(REFERENCE)
    assert Memory(file).reference == REFERENCE
    for content in ("", "x" * 26 + "\n../..", "\u00e9" * 26, "../../../etc/passwd.......a"):
        file.write_text(content)
        assert Memory(file).reference == ""
    unwritable = Memory(tmp_path / "no folder" / "reference")
    unwritable.learn(REFERENCE)
    assert unwritable.reference == REFERENCE
