"""TigerBeetle, a database that is a ledger: batches of transfers from one client, each answered when it is durable.

It is asked where it runs: TIGERBEETLE_ADDRESS is the address of a replica of a cluster 0 that nobody else uses
(`3000`, or `127.0.0.1:3000`); it keeps the accounts and transfers that are made here. Its client is one of the
packages of `make peers`. One client with one batch under way, as L1 has one connection; what is counted are transfers.
Afterwards debits and credits of all accounts have to be what was acknowledged, as much of each.
"""

import os
from random import Random
from typing import Any

from bench.speed import peer_venv
from bench.speed.peer import PeerFailed, PeerFigure, PeerMissing, Tally, figure
from bench.speed.peer_books import ACCOUNTS, AMOUNT
from hakika import clock

NAME = "TigerBeetle"
SETTING = "TIGERBEETLE_ADDRESS"
BATCH = 1000
BATCH_MOST = 8189  # as many as a message of it holds
LEDGER, CODE = 1, 1
SEED = 20_230_727


def run(database_url: str, *, seconds: float, warmup_s: float) -> PeerFigure:
    """Batches of 1,000."""
    return _asked(database_url, seconds, warmup_s, BATCH)


def run_most(database_url: str, *, seconds: float, warmup_s: float) -> PeerFigure:
    """The largest batches that it takes."""
    return _asked(database_url, seconds, warmup_s, BATCH_MOST)


def _asked(database_url: str, seconds: float, warmup_s: float, batch: int) -> PeerFigure:
    if not os.environ.get(SETTING):
        raise PeerMissing(NAME, f"{SETTING} does not say where it runs")
    settings = {"batch": batch}
    return peer_venv.measured("tigerbeetle", database_url, seconds=seconds, warmup_s=warmup_s, settings=settings)


def measure(database_url: str, *, seconds: float, warmup_s: float, batch: int = BATCH) -> PeerFigure:
    """Measure it, in the interpreter that has its client; `database_url` is not asked."""
    version = peer_venv.version("tigerbeetle", NAME)
    import tigerbeetle

    address = os.environ[SETTING]
    with tigerbeetle.ClientSync(cluster_id=0, replica_addresses=address) as client:
        accounts = _opened(tigerbeetle, client)
        tally = _work(tigerbeetle, client, accounts, batch, warmup_s, seconds)
        faults = _faults(client, accounts, tally.acknowledged)
    how = f"client {version}, one client, batches of {batch:,}, at {address}"
    return figure(NAME, tally, seconds=seconds, faults=faults, how=how)


def _opened(tigerbeetle: Any, client: Any) -> list[int]:
    """As many accounts as every peer has, that nobody else knows."""
    accounts = [tigerbeetle.id() for _ in range(ACCOUNTS)]
    for start in range(0, ACCOUNTS, BATCH_MOST):
        part = accounts[start : start + BATCH_MOST]
        made = client.create_accounts([tigerbeetle.Account(id=one, ledger=LEDGER, code=CODE) for one in part])
        _all_created(made, tigerbeetle.CreateAccountStatus.CREATED)
    return accounts


def _work(tigerbeetle: Any, client: Any, accounts: list[int], batch: int, warmup_s: float, seconds: float) -> Tally:
    """One batch after the other; each of its transfers has waited as long as the batch."""
    chance = clock.seeded(SEED)
    tally = Tally()
    opens_s = clock.monotonic_s() + warmup_s
    while True:
        transfers = [_transfer(tigerbeetle, accounts, chance) for _ in range(batch)]
        begun_s = clock.monotonic_s()
        if begun_s >= opens_s + seconds:
            return tally
        _all_created(client.create_transfers(transfers), tigerbeetle.CreateTransferStatus.CREATED)
        ended_s = clock.monotonic_s()
        tally.acknowledged += batch
        if opens_s <= ended_s < opens_s + seconds:
            tally.latencies_ms.extend([(ended_s - begun_s) * 1000] * batch)


def _transfer(tigerbeetle: Any, accounts: list[int], chance: Random) -> Any:
    payer, payee = chance.sample(accounts, 2)
    return tigerbeetle.Transfer(
        id=tigerbeetle.id(), debit_account_id=payer, credit_account_id=payee, amount=AMOUNT, ledger=LEDGER, code=CODE
    )


def _all_created(results: list[Any], created: Any) -> None:
    odd = [one.status for one in results if one.status != created]
    if odd:
        raise PeerFailed(f"{NAME}: {len(odd)} were not created, the first: {odd[0]!r}")


def _faults(client: Any, accounts: list[int], acknowledged: int) -> list[str]:
    debits = credits = 0
    for start in range(0, len(accounts), BATCH_MOST):
        for account in client.lookup_accounts(accounts[start : start + BATCH_MOST]):
            debits += account.debits_posted
            credits += account.credits_posted
    expected = acknowledged * AMOUNT
    return [] if debits == credits == expected else [f"debits {debits}, credits {credits}, acknowledged {expected}"]
