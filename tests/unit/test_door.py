"""The HTTP door on real sockets: routing, limits, time-outs, busy answers, leaks nothing, frees its port."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import httpx2
import pytest

from hakika.channels import door as doors
from hakika.channels.door import Door, PortTaken, Request, RequestRefused, Response, Route, problem, serve
from hakika.domain.reasons import InvariantBroken

CONCURRENCY_MAX = 4


async def show(request: Request) -> Response:
    content = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "size": len(request.body),
        "client": request.client,
        "params": request.params,
        "x": request.headers.get("x-thing"),
    }
    return Response(200, json.dumps(content).encode())


async def boom(request: Request) -> Response:
    raise ValueError("the secret of the inside")


async def refuse(request: Request) -> Response:
    raise RequestRefused(problem(409, "No", "id", "ids are new"))


class Gate:
    """A handler that waits until it is opened; `held` counts who is waiting."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.held: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, request: Request) -> Response:
        self.held.put_nowait(None)
        await self.opened.wait()
        return Response(200, b"{}")


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
async def running(gate: Gate) -> AsyncIterator[doors.Running]:
    routes = [
        Route("GET", "/", show),
        Route("GET", "/t/{ref}", show),
        Route("POST", "/wallets/{msisdn}/status", show, body_max=1000),
        Route("POST", "/x", show, body_max=1000),
        Route("GET", "/boom", boom),
        Route("GET", "/refuse", refuse),
        Route("GET", "/slow", gate),
        Route("GET", "/livez", show, uncounted=True),
    ]
    running = await serve(Door(routes, concurrency_max=CONCURRENCY_MAX), "127.0.0.1", 0)
    yield running
    gate.opened.set()
    await running.stop()


@pytest.fixture
async def client(running: doors.Running) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=running.url) as client:
        yield client


async def raw(port: int, sent: bytes) -> bytes:
    """One exchange as bytes; what a careful client library would not send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    received = await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
    await writer.wait_closed()
    return received


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/t/abc", 200),
        ("GET", "/t/", 404),
        ("GET", "/t/a/b", 404),
        ("GET", "/t/a%2Fb", 404),
        ("GET", "/nothing", 404),
        ("POST", "/", 405),
        ("DELETE", "/t/abc", 405),
        ("GET", "/?a=1&a=2", 400),
        ("GET", "/?a=%ff", 400),
        ("GET", "/?" + "&".join(f"a{i}=1" for i in range(50)), 400),
        ("GET", "/refuse", 409),
        ("POST", "/wallets/254/status", 200),
    ],
)
async def test_each_path_and_method_has_its_status(
    client: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


async def test_a_request_arrives_decoded_once(client: httpx2.AsyncClient) -> None:
    answer = (await client.get("/t/%2541", params={"lang": "sw"}, headers={"X-Thing": "1"})).json()
    assert answer["params"] == {"ref": "%41"}
    assert answer["query"] == {"lang": "sw"}
    assert answer["x"] == "1"
    assert answer["client"] == "127.0.0.1"


async def test_405_names_what_is_served(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/")).headers["allow"] == "GET"


async def test_the_body_is_read_to_its_limit_and_no_further(client: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"y" * 100_000

    assert (await client.post("/x", content=b"y" * 1000)).json()["size"] == 1000
    assert (await client.post("/x", content=b"y" * 1001)).status_code == 413
    assert (await client.post("/x", content=b"y" * 5_000_000)).status_code == 413
    assert (await client.post("/x", content=endless())).status_code == 413


async def test_an_announced_size_is_refused_before_it_is_sent(running: doors.Running) -> None:
    answer = await raw(running.port, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


async def test_a_body_that_dawdles_is_cut_off_and_others_are_not() -> None:
    door = Door([Route("POST", "/x", show, body_max=1000)], concurrency_max=CONCURRENCY_MAX, body_read_s=0.3)
    running = await serve(door, "127.0.0.1", 0)
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    try:
        late = [
            asyncio.create_task(raw(running.port, head + b"Content-Length: 10\r\n\r\nabc")),
            asyncio.create_task(raw(running.port, head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")),
        ]
        for _ in range(10):
            whole = await raw(running.port, head + b"Content-Length: 3\r\n\r\nabc")
            assert whole.startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.05)
        for answer in await asyncio.gather(*late):
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"within 0.3 s" in answer
        assert (await raw(running.port, head + b"Content-Length: 3\r\n\r\nabc")).startswith(b"HTTP/1.1 200")
    finally:
        await running.stop()


async def test_a_repeated_header_is_joined(running: doors.Running) -> None:
    answer = await raw(
        running.port, b"GET / HTTP/1.1\r\nHost: a\r\nX-Thing: 1\r\nX-Thing: 2\r\nConnection: close\r\n\r\n"
    )
    assert b'"x": "1, 2"' in answer


async def test_a_fault_inside_leaks_nothing(client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await client.get("/boom")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in caplog.text
    assert "the secret of the inside" in caplog.text


async def test_too_many_in_flight_are_told_to_come_back(
    client: httpx2.AsyncClient, running: doors.Running, gate: Gate
) -> None:
    held = [asyncio.create_task(client.get("/slow")) for _ in range(CONCURRENCY_MAX)]
    for _ in range(CONCURRENCY_MAX):
        await gate.held.get()
    refused = await client.get("/")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert (await client.get("/livez")).status_code == 200
    gate.opened.set()
    assert {answer.status_code for answer in await asyncio.gather(*held)} == {200}


async def test_more_connections_than_requests_are_served(running: doors.Running) -> None:
    """Idle keep-alive connections do not use up the door."""
    idle = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(300)]
    try:
        assert (await raw(running.port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))[9:12] == b"200"
    finally:
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()


async def test_stop_finishes_what_is_in_flight_and_frees_the_port() -> None:
    gate = Gate()
    running = await serve(Door([Route("GET", "/slow", gate)], concurrency_max=10), "127.0.0.1", 0)
    # a keep-alive connection stays open
    _, idle = await asyncio.open_connection("127.0.0.1", running.port)
    async with httpx2.AsyncClient(base_url=running.url) as client:
        held = asyncio.create_task(client.get("/slow"))
        await gate.held.get()
        stopping = asyncio.create_task(running.stop())
        await asyncio.sleep(0.05)
        assert (await client.get("/slow")).status_code == 503
        gate.opened.set()
        await stopping
        assert (await held).status_code == 200
    idle.close()
    await idle.wait_closed()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", running.port)
    again = await serve(Door([], concurrency_max=1), "127.0.0.1", running.port)
    await again.stop()


async def test_a_port_in_use_is_named(running: doors.Running) -> None:
    with pytest.raises(PortTaken, match=f"cannot listen on 127.0.0.1:{running.port}"):
        await serve(Door([], concurrency_max=1), "127.0.0.1", running.port)


def test_a_route_twice_is_a_bug() -> None:
    with pytest.raises(InvariantBroken):
        Door([Route("GET", "/t/{ref}", show), Route("GET", "/t/{ref}", show)], concurrency_max=1)
