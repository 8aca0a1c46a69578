"""The two-step transfer as a Restate handler of two journaled runs, asked for through Restate's ingress.

One Restate server with all roles on this machine, its log synced to disk as it comes; one Python service behind it
over HTTP/2, its journal streamed both ways; 64 callers, each with one request in flight. The idempotency key is the
saga's id, so asking twice does it once; a run that Restate repeats after a crash finds its row in `step` and changes
nothing.

What was tried on 2 cores shared with other work, where CPU ms a saga says more than sagas a second: 24 partitions as by
default, 4, 2 and 1 (4.1, 3.4, 2.6 and 2.7 ms; 340, 308, 390 and 268 to 434/s: one kept); the log provider `replicated`
as by default or `local` (2.7 or 2.3 ms: `local` kept, as there is one node); granian or hypercorn for the service (2.7
or 3.2 ms: granian kept), uvloop under it (2.5 ms: kept); two services in two processes (2.6 ms, 401/s, no gain); 16,
32, 64 and 128 callers (2.6, 2.7, 2.7 and 2.6 ms); no idempotency key (2.3 ms, not kept: it would promise less); larger
command batches (no gain). Journals are not kept after the end (kept: 2.9 ms); the answer to each key is, for a day.
All that was kept together: 716 to 778/s.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

from bench.speed import peer_venv
from bench.speed.peer import PeerFailed, PeerFigure, PeerMissing, figure
from bench.speed.peer_books import AMOUNT, CREDIT, DEBIT, Books
from bench.speed.peer_crew import READY, Crew, Order, Post, ask_on_loop, told, until_closed
from bench.speed.peer_http import HOST, Caller, free_port, reachable

NAME = "Restate saga"
BINARY = "restate/node_modules/@restatedev/restate-server-linux-*/bin/restate-server"
PARTITIONS = 1
CALLERS = 64
CONNECTIONS = 16
START_S = 60.0


def run(
    database_url: str, *, seconds: float, warmup_s: float, partitions: int = PARTITIONS, callers: int = CALLERS
) -> PeerFigure:
    """Measure it on the server of `database_url`, a superuser's. Raises PeerMissing without its environment."""
    settings = {"partitions": partitions, "callers": callers}
    return peer_venv.measured("restate", database_url, seconds=seconds, warmup_s=warmup_s, settings=settings)


def measure(
    database_url: str, *, seconds: float, warmup_s: float, partitions: int = PARTITIONS, callers: int = CALLERS
) -> PeerFigure:
    """The same in this interpreter, which needs the package restate-sdk and the server's program beside it."""
    version = peer_venv.version("restate-sdk", NAME)
    binary = next(peer_venv.VENV.glob(BINARY), None)
    if binary is None:
        raise PeerMissing(NAME, f"restate-server is not there; {peer_venv.HOW_TO_GET} where npm is installed")
    with Books(database_url, "peer_restate") as books:
        with _server(binary, partitions) as (ingress, admin), Crew() as crew:
            _, service = crew.hire(_serve, books.url)
            asyncio.run(_register(admin, service))
            caller, _ = crew.hire(_call, ingress, callers)
            tally = crew.measure([caller], seconds=seconds, warmup_s=warmup_s)
        how = f"restate-server {_version(binary)}, restate-sdk {version}, {callers} callers, {partitions} partition(s)"
        return figure(NAME, tally, seconds=seconds, faults=books.wrong(tally.acknowledged), how=how)


def _version(binary: Path) -> str:
    """The version in the package of the server's program."""
    return str(json.loads((binary.parent.parent / "package.json").read_text())["version"])


@contextmanager
def _server(binary: Path, partitions: int) -> Iterator[tuple[int, int]]:
    """A Restate server on a folder of its own, killed at the end; the ports of its ingress and its administration."""
    fabric, ingress, admin = free_port(), free_port(), free_port()
    with TemporaryDirectory(prefix="peer-restate-") as folder:
        log = Path(folder, "log")
        environment = {
            "PATH": os.defpath,
            "HOME": folder,
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_ADDRESS": f"{HOST}:{fabric}",
            "RESTATE_ADVERTISED_ADDRESS": f"http://{HOST}:{fabric}/",
            "RESTATE_INGRESS__BIND_ADDRESS": f"{HOST}:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"{HOST}:{admin}",
            "RESTATE_DEFAULT_NUM_PARTITIONS": str(partitions),
            "RESTATE_BIFROST__DEFAULT_PROVIDER": "local",
            "RESTATE_DEFAULT_JOURNAL_RETENTION": "0s",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_LOG_FILTER": "error",
        }
        command = [str(binary), "--no-logo", "--node-name", "peer", "--base-dir", str(Path(folder, "data"))]
        with log.open("w") as sink:
            process = subprocess.Popen(  # noqa: S603 - the program that we fetched
                command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
        try:
            for port in (admin, ingress):
                if not reachable(port, START_S, process):
                    raise PeerFailed(f"{NAME}: the server does not start: {log.read_text()[-500:]}")
            yield ingress, admin
        finally:
            process.kill()
            process.wait()


async def _register(admin: int, service: int) -> None:
    """Tell Restate where the service is; it asks the service what it offers."""
    caller = await Caller.connect(admin)
    async with asyncio.timeout(START_S):
        deployment = json.dumps({"uri": f"http://{HOST}:{service}"}).encode()
        status, answer = await caller.post("/deployments", deployment)
    caller.close()
    if status != 201:
        raise PeerFailed(f"{NAME}: not registered: {status} {answer[:500]!r}")


def _serve(post: Post, url: str) -> None:
    import uvloop

    uvloop.run(_serve_until_closed(post, url))


async def _serve_until_closed(post: Post, url: str) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.server.embed import Server

    port = free_port()
    server = Server(
        await _application(url),
        address=HOST,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http2,
        websockets=False,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    if not await asyncio.to_thread(reachable, port, START_S):
        raise PeerFailed(f"{NAME}: the service does not start")
    post.send(port)
    await asyncio.to_thread(until_closed, post)
    serving.cancel()
    os._exit(0)  # the server's own threads may still be at work; there is nothing to keep


async def _application(url: str) -> Any:
    """The service over fixed connections, as an ASGI application."""
    import psycopg
    import restate

    free: asyncio.LifoQueue[psycopg.AsyncConnection[Any]] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0))

    async def step(statement: LiteralString, saga: str, account: int) -> None:
        connection = await free.get()
        try:
            await connection.execute(statement, {"saga": saga, "account": account, "amount": AMOUNT})
        finally:
            free.put_nowait(connection)

    async def transfer(context: Any, order: dict[str, Any]) -> None:
        options = restate.RunOptions()
        await context.run_typed("debit", step, options, DEBIT, order["saga"], order["payer"])
        await context.run_typed("credit", step, options, CREDIT, order["saga"], order["payee"])

    service = restate.Service("Saga")
    service.handler()(transfer)
    return restate.app(services=[service])


def _call(post: Post, port: int, callers: int) -> None:
    asyncio.run(_call_all(post, port, callers))


async def _call_all(post: Post, port: int, callers: int) -> None:
    lines = [await Caller.connect(port) for _ in range(callers)]
    post.send(READY)
    post.send(await ask_on_loop([_saga(line) for line in lines], 0, await told(post)))
    for line in lines:
        line.close()
    await asyncio.to_thread(until_closed, post)


def _saga(line: Caller) -> Callable[[Order], Awaitable[object]]:
    async def saga(order: Order) -> None:
        body = json.dumps({"saga": str(order.saga), "payer": order.payer, "payee": order.payee}).encode()
        status, answer = await line.post("/Saga/transfer", body, f"idempotency-key: {order.saga}\r\n")
        if status != 200:
            raise PeerFailed(f"{NAME}: {status} {answer[:200]!r}")

    return saga
