"""Opens the demo wallets and prefunds the banks' positions, through the core's operator API like anybody else.

Idempotent: what was opened is remembered, an interrupted opening is taken up again, and a funding has one id for
ever, so that it is booked once.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import httpx2
import msgspec

from hakika import clock
from hakika.ids import derived
from hakika.simulator.folder import StateFolder
from hakika.simulator.plan import CURRENCY, Plan, Wallet, demo_wallets, synthetic_wallets
from hakika.wire.bank_api import QuoteAnswer, QuoteRequest
from hakika.wire.jws import load_private_key, sign_detached

AT_ONCE = 16
CALL_S = 20.0
OPEN_S = 10.0
OPEN_STEP_S = 0.05
QUOTED_MINOR = 100_00
OPENED = (200, 201)
KNOWN = (*OPENED, 409)  # 409: it is there already

log = logging.getLogger(__name__)


class DemoRefused(Exception):
    """The core did not take a demo wallet or a funding; the message shows its answer."""


async def open_demo(folder: StateFolder, plan: Plan, core_url: str, token: str) -> None:
    """Return when every wallet and position of the plan is there and funded."""
    wallets = demo_wallets(plan)
    known = folder.remembered("demo.json")
    tests = [wallet.msisdn for wallet in synthetic_wallets()]
    opened = {"seed": plan.seed, "banks": list(plan.bank_ids), "tests": tests}
    if known.get("complete") and {key: known.get(key) for key in opened} == opened:
        return
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=core_url, headers=headers, trust_env=False, timeout=CALL_S) as http:
        free = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for bank in plan.bank_ids:
                group.create_task(fund(http, bank, plan.funding_of(bank), f"opening/{plan.seed}"))
            for wallet in (*wallets, *synthetic_wallets()):
                group.create_task(_open(http, free, wallet))
    folder.remember(
        "demo.json",
        {
            "complete": True,
            **opened,
            "wallets": [wallet.msisdn for wallet in wallets if wallet.status == "open"],
            "blocked": [wallet.msisdn for wallet in wallets if wallet.status == "blocked"],
            "closed": [wallet.msisdn for wallet in wallets if wallet.status == "closed"],
        },
    )


async def fund(http: httpx2.AsyncClient, bank: str, amount_minor: int, occasion: str) -> None:
    """Open the bank's position if need be and add to it; the same occasion adds once."""
    await _call(http, "/positions", {"bank": bank, "currency": CURRENCY}, KNOWN)
    identifier = derived(b"funding", bank.encode(), occasion.encode()).hex
    await _call(http, f"/positions/{bank}/fundings", {"id": identifier, "amount_minor": amount_minor}, OPENED)


async def until_open(folder: StateFolder, plan: Plan, gateway_url: str) -> None:
    """Return when the gateway has met the core, so that a first transfer goes through at once; or after a while.

    Asked as a bank would ask: by a signed quote.
    """
    bank = plan.banks[0]
    wallet = next(wallet for wallet in demo_wallets(plan) if wallet.status == "open")
    key = load_private_key(folder.keys / f"{bank.id}.pem")
    body = msgspec.json.encode(QuoteRequest(wallet.msisdn, QUOTED_MINOR, CURRENCY))
    ends_s = clock.monotonic_s() + OPEN_S
    async with httpx2.AsyncClient(base_url=gateway_url, trust_env=False, timeout=CALL_S) as http:
        while clock.monotonic_s() < ends_s:
            signature = sign_detached(body, key, bank.kid, clock.now_ms() // 1000)
            headers = {"X-JWS-Signature": signature, "Content-Type": "application/json"}
            with suppress(httpx2.HTTPError, msgspec.DecodeError):
                answer = await http.post("/quote", content=body, headers=headers)
                if answer.status_code == 200 and msgspec.json.decode(answer.content, type=QuoteAnswer).answer == "now":
                    return
            await asyncio.sleep(OPEN_STEP_S)
    log.warning("the gateway holds transfers: it has not met the core within %g s", OPEN_S)


async def _open(http: httpx2.AsyncClient, free: asyncio.Semaphore, wallet: Wallet) -> None:
    async with free:
        content = {"msisdn": wallet.msisdn, "name": wallet.name, "currency": CURRENCY}
        await _call(http, "/wallets", content, KNOWN)
        if wallet.status != "open":
            await _call(http, f"/wallets/{wallet.msisdn}/status", {"status": wallet.status}, (200, 204))


async def _call(http: httpx2.AsyncClient, path: str, content: dict[str, Any], good: tuple[int, ...]) -> None:
    try:
        answer = await http.post(path, json=content)
    except httpx2.HTTPError as error:
        raise DemoRefused(f"POST {path}: {type(error).__name__}: {error}") from error
    if answer.status_code not in good:
        raise DemoRefused(f"POST {path}: HTTP {answer.status_code}: {answer.text[:300]}")
