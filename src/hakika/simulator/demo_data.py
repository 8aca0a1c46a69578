"""Opens the demo wallets and prefunds the banks' positions, through the core's operator API like anybody else.

Idempotent: what was opened is remembered, an interrupted opening is taken up again, and a funding has one id for
ever, so that it is booked once.
"""

import asyncio
from typing import Any

import httpx2

from hakika.domain.ids import derived
from hakika.simulator.folder import StateFolder
from hakika.simulator.plan import CURRENCY, Plan, Wallet, demo_wallets

AT_ONCE = 16
CALL_S = 20.0
OPENED = (200, 201)
KNOWN = (*OPENED, 409)  # 409: it is there already


class DemoRefused(Exception):
    """The core did not take a demo wallet or a funding; the message shows its answer."""


async def open_demo(folder: StateFolder, plan: Plan, core_url: str, token: str) -> None:
    """Return when every wallet and position of the plan is there and funded."""
    wallets = demo_wallets(plan)
    known = folder.remembered("demo.json")
    if known.get("complete") and known.get("seed") == plan.seed and known.get("banks") == list(plan.bank_ids):
        return
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=core_url, headers=headers, trust_env=False, timeout=CALL_S) as http:
        free = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for bank in plan.bank_ids:
                group.create_task(fund(http, bank, plan.funding_of(bank), f"opening/{plan.seed}"))
            for wallet in wallets:
                group.create_task(_open(http, free, wallet))
    folder.remember(
        "demo.json",
        {
            "complete": True,
            "seed": plan.seed,
            "banks": list(plan.bank_ids),
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
