"""Requests for L2: `POST /entries`, one entry each, between random accounts, under fresh ids."""

import gc
import json
import random
from collections.abc import Callable
from typing import Any

from bench.speed.loader import tell
from bench.speed.loop import closed_loop, post
from hakika import clock

AMOUNT_MAX = 10_000


def prepare(settings: dict[str, Any]) -> Callable[[], None]:
    """Make every request now; the returned function sends them."""
    chance = random.Random(settings["seed"])  # noqa: S311 - repeatable work
    accounts: list[int] = settings["accounts"]
    headers = f"Authorization: Bearer {settings['token']}\r\nContent-Type: application/json\r\n"
    requests = [_request(chance, accounts, settings["hot"], headers) for _ in range(settings["requests"])]
    gc.collect()
    gc.freeze()

    def run() -> None:
        outcome = closed_loop(
            (settings["host"], settings["port"]),
            iter(requests),
            connections=settings["connections"],
            seconds=settings["seconds"],
            accept=lambda status, body: status == 200 and b'"result":"posted"' in body,
        )
        tell(outcome, settings["waits_file"])

    return run


def _request(chance: random.Random, accounts: list[int], hot: bool, headers: str) -> bytes:
    debit, credit = chance.sample(accounts, 2)
    if hot and debit != accounts[0]:
        credit = accounts[0]
    entry = {
        "id": clock.new_id().hex,
        "kind": "posted",
        "debit": f"acc_{debit}",
        "credit": f"acc_{credit}",
        "amount_minor": chance.randint(1, AMOUNT_MAX),
        "currency": "KES",
    }
    return post("/entries", json.dumps({"sets": [[entry]]}, separators=(",", ":")).encode(), headers)
