"""The only place that wires (with app_gateway.py): reads settings, builds a role once, runs it until told to stop.

One process a role; channels and workers are tasks in it. On SIGTERM the door closes first, what is in flight
is finished, then the workers stop: everything they left is in the database and is resumed by the next start.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from hakika.settings import CoreSettings, GatewaySettings, HealthSettings, ProbeSettings, load, secret

if TYPE_CHECKING:
    from hakika.channels.door import Running

log = logging.getLogger(__name__)

CONCURRENCY_MAX = 2048
GC_EVERY = 50_000  # objects made and not freed before the youngest are looked through


def serve_core(settings_file: Path) -> None:
    """Run the core until SIGTERM; blocks."""
    _run(_core(load(settings_file, CoreSettings)))


def serve_gateway(settings_file: Path) -> None:
    """Run the gateway until SIGTERM; blocks."""
    _run(_gateway(load(settings_file, GatewaySettings)))


def raise_incarnation(role: str, owner_url: str, reason: str) -> tuple[int, int]:
    """(new incarnation of a role's restored database, transfers marked to be burnt first); blocks.

    Raises what the role's own `raise_incarnation` raises.
    """
    if role == "gateway":
        from hakika.services.gateway import incarnation as gateway

        return asyncio.run(gateway.raise_incarnation(owner_url, reason))
    from hakika.services.core import incarnation as core

    return asyncio.run(core.raise_incarnation(owner_url, reason)), 0


def serve_health(settings_file: Path) -> None:
    """Run health until SIGTERM; blocks."""
    _run(_health(load(settings_file, HealthSettings)))


def serve_probe(settings_file: Path) -> None:
    """Run a vantage until SIGTERM; blocks."""
    _run(_probe(load(settings_file, ProbeSettings)))


def _run(role: Coroutine[Any, Any, None]) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    uvloop.run(role)


def settle_memory() -> None:
    """What is loaded by now lives as long as the process: later collections need not walk it, and come seldom.

    A batch of 1,000 makes some 10,000 objects and leaves no cycle; at the default threshold it would be walked a dozen
    times while it is decided.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_EVERY, 20, 20)


async def _core(settings: CoreSettings) -> None:
    from hakika.channels import core_api
    from hakika.channels.door import Door, serve, stop_requested
    from hakika.services.core.role import build

    core = build(
        database_url=secret(settings.database_url_file),
        currency=settings.currency,
        test_wallets=settings.test_wallets,
    )
    await core.start()
    probe_token = secret(settings.probe_token_file) if settings.probe_token_file else ""
    tokens = core_api.Tokens(secret(settings.gateway_token_file), secret(settings.operator_token_file), probe_token)
    health_token = secret(settings.health_token_file) if settings.health_token_file else ""
    door = Door(core_api.routes(core, tokens, health_token), concurrency_max=CONCURRENCY_MAX)
    running = await serve(door, *settings.address())
    settle_memory()
    log.info("core listens on %s", running.url)
    await stop_requested()
    await running.stop()
    await core.stop()


async def _gateway(settings: GatewaySettings) -> None:
    from hakika.app_gateway import GatewayRole
    from hakika.channels.door import Door, serve

    role = GatewayRole(settings)
    await role.start()
    door = Door(role.routes(), concurrency_max=CONCURRENCY_MAX)
    running = await serve(door, *settings.address())
    settle_memory()
    log.info("gateway listens on %s", running.url)
    await _until_stopped(running, role.workers(), role.stop)


async def _health(settings: HealthSettings) -> None:
    from hakika.app_health import HealthRole
    from hakika.channels.door import Door, serve

    role = HealthRole(settings)
    door = Door(role.routes(), concurrency_max=CONCURRENCY_MAX)
    running = await serve(door, *settings.address())
    settle_memory()
    log.info("health listens on %s", running.url)
    await _until_stopped(running, role.workers(), role.stop)


async def _probe(settings: ProbeSettings) -> None:
    from hakika.channels.door import stop_requested
    from hakika.health.vantage.probing import Memory, Target, TestedBank
    from hakika.health.vantage.process import Vantage
    from hakika.health.vantage.ways import all_probes
    from hakika.outbound.probing import ProbingClient, ResultsClient
    from hakika.wire.jws import load_private_key

    client, results = ProbingClient(), ResultsClient(settings.health_url)
    target = Target(
        vantage=settings.name,
        client=client,
        memory=Memory(Path(settings.memory_file)),
        banks=[TestedBank(one.id, one.url.rstrip("/"), one.customer) for one in settings.bank],
        tracking_url=settings.tracking_url.rstrip("/"),
        core_url=settings.core_url.rstrip("/"),
        core_token=secret(settings.core_token_file) if settings.core_token_file else "",
        test_wallet=settings.test_wallet,
        test_wallet_blocked=settings.test_wallet_blocked,
        currency=settings.currency,
        amount_minor=settings.amount_minor,
    )
    vantage = Vantage(
        settings.name,
        settings.kid,
        load_private_key(settings.signing_key_file),
        results,
        all_probes(target),
        number=settings.number,
        of=settings.of,
        every_s=settings.every_s,
    )
    settle_memory()
    log.info("vantage %s tries %d ways in", settings.name, len(vantage.probes))
    stop = asyncio.create_task(stop_requested(), name="stop")
    workers = asyncio.create_task(_all(vantage.workers()), name="workers")
    await asyncio.wait([workers, stop], return_when=asyncio.FIRST_COMPLETED)
    workers.cancel()
    (outcome,) = await asyncio.gather(workers, return_exceptions=True)
    await client.close()
    await results.close()
    if isinstance(outcome, Exception):
        raise outcome


async def _until_stopped(
    running: "Running", loops: list[Coroutine[Any, Any, None]], stop_role: Callable[[], Awaitable[None]]
) -> None:
    """Work until told to stop or until a worker ends; then door, workers and connections, in this order."""
    from hakika.channels.door import stop_requested

    workers = asyncio.create_task(_all(loops), name="workers")
    stop = asyncio.create_task(stop_requested(), name="stop")
    await asyncio.wait([workers, stop], return_when=asyncio.FIRST_COMPLETED)
    if workers.done():
        log.critical("a worker ended: the process stops, its rows are resumed by the next start")
    await running.stop()
    workers.cancel()
    (outcome,) = await asyncio.gather(workers, return_exceptions=True)
    await stop_role()
    if isinstance(outcome, Exception):
        raise outcome


async def _all(loops: list[Coroutine[Any, Any, None]]) -> None:
    """Run endless loops; the first that fails takes the process down, loudly."""
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop)
