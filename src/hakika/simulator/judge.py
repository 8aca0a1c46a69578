"""Gathers everybody's books after a run, has them recounted, and asks for the judgement.

The recount is the independent checker's; the judgement of promises is `reckoning.py`'s. Here they only meet.
"""

import asyncio

from hakika import clock
from hakika.simulator.driver import Customers
from hakika.simulator.links import GATEWAY_CORE
from hakika.simulator.lives import Booked, booked, lives, posted_heads
from hakika.simulator.reckoning import Evidence, Reckoning, reckon
from hakika.simulator.recount import recounted
from hakika.simulator.scenario import Scenario
from hakika.simulator.stack import Stack
from hakika.simulator.tracking import Tracker, check


async def judged(
    stack: Stack,
    customers: Customers,
    tracker: Tracker,
    scenario: Scenario,
    seed: int,
    bank_down: dict[str, list[tuple[int, int]]],
) -> tuple[Evidence, Reckoning]:
    """Evidence and verdict of a run whose platform still answers. Raises store.lane.StoreFault."""
    books: dict[str, Booked] = {}
    for bank in stack.plan.bank_ids:
        books |= await asyncio.to_thread(booked, bank, stack.folder.books(bank))
    judged_ms = clock.now_ms()
    known = await lives(stack.databases["gateway"].access.reader_url)
    posted = await posted_heads(stack.databases["core"].access.reader_url)
    recount = await asyncio.to_thread(recounted, stack)
    link = stack.links.proxies[GATEWAY_CORE]
    evidence = Evidence(
        told=customers.told,
        lives=known,
        booked=books,
        posted=posted,
        crossed=link.crossed,
        swallowed=link.swallowed,
        links=stack.links,
        tracking=check(tracker.samples, known),
        books=recount.books,
        findings=recount.findings,
        verify_ok=recount.ok,
        judged_ms=judged_ms,
        doubled_by_recount=recount.doubled,
        bank_down=bank_down,
    )
    return evidence, reckon(
        evidence, scenario=scenario.name, seed=seed, scale=scenario.scale, main_link=scenario.main_link
    )
