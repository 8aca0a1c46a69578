"""The proxy of one link on real sockets: each mode, each fault, and the record of which instructions crossed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from hakika.simulator.faults import Chances, FaultsRefused, Mode, Noise, checked, dice_for, draw
from hakika.simulator.proxy import HOST, Proxy

ID_A, ID_B = "a" * 32, "b" * 32
SOON_S = 0.3


class FarSide:
    """An HTTP server that keeps what it got, whole or in part, and echoes the body."""

    def __init__(self) -> None:
        self.status = b"200 OK"
        self.bodies: list[bytes] = []
        self.parts: list[bytes] = []
        self.answer_after_s = 0.0
        self.server: asyncio.Server | None = None
        self.writers: list[asyncio.StreamWriter] = []

    async def start(self, port: int = 0) -> int:
        self.server = await asyncio.start_server(self.serve, HOST, port)
        got: int = self.server.sockets[0].getsockname()[1]
        return got

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        got = b""
        try:
            while True:
                got = await reader.readuntil(b"\r\n\r\n")
                length = int(got.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                body = b""
                while len(body) < length:
                    part = await reader.read(length - len(body))
                    if not part:
                        self.parts.append(got + body)
                        return
                    body += part
                self.bodies.append(body)
                await asyncio.sleep(self.answer_after_s)
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (self.status, length, body))
                await writer.drain()
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self.parts.append(error.partial)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        for writer in self.writers:
            writer.transport.abort()


class Client:
    """One kept connection to the proxy."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection(HOST, self.port)
        return self

    async def ask(self, body: bytes, path: str = "/x", within_s: float = 2.0) -> bytes:
        return (await self.answer(body, path, within_s))[1]

    async def answer(self, body: bytes, path: str = "/x", within_s: float = 2.0) -> tuple[int, bytes]:
        """Status and body."""
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        self.writer.write(head + body)
        async with asyncio.timeout(within_s):
            answer = await self.reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            return int(answer.split(b" ", 2)[1]), await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    side = FarSide()
    yield side
    await side.stop()


@pytest.fixture
async def link(far: FarSide) -> AsyncIterator[Proxy]:
    made = Proxy("gateway-core", await far.start(), seed=7)
    await made.start()
    yield made
    await made.stop()


def instructions(*ids: str) -> bytes:
    return json.dumps({"instructions": [{"id": i, "bank": "bank-a"} for i in ids]}, separators=(",", ":")).encode()


async def test_passes_messages_both_ways_on_one_connection(link: Proxy, far: FarSide) -> None:
    client = await Client(link.port).open()
    assert await client.ask(b"one") == b"one"
    assert await client.ask(b"") == b""
    big = b"z" * 300_000
    assert await client.ask(big) == big
    assert far.bodies == [b"one", b"", big]
    assert len(far.writers) == 1
    client.close()


async def test_black_hole_reads_everything_and_answers_nothing(link: Proxy, far: FarSide) -> None:
    client = await Client(link.port).open()
    assert await client.ask(b"before") == b"before"
    await link.set_mode(Mode.BLACKHOLE)
    with pytest.raises(TimeoutError):
        await client.ask(b"lost", within_s=SOON_S)
    other = await Client(link.port).open()  # a fresh connection is accepted as well
    with pytest.raises(TimeoutError):
        await other.ask(instructions(ID_A), "/internal/instructions", within_s=SOON_S)
    assert far.bodies == [b"before"]
    assert link.counts["request.blackhole"] == 2
    assert set(link.swallowed) == {ID_A}
    assert not link.crossed
    await link.set_mode(Mode.OPEN)
    third = await Client(link.port).open()
    assert await third.ask(b"after") == b"after"
    assert far.bodies == [b"before", b"after"]  # what was swallowed stays lost
    for one in (client, other, third):
        one.close()


async def test_deaf_link_passes_requests_and_keeps_their_answers(link: Proxy, far: FarSide) -> None:
    await link.set_mode(Mode.DEAF)
    client = await Client(link.port).open()
    with pytest.raises(TimeoutError):
        await client.ask(instructions(ID_A, ID_B), "/internal/instructions", within_s=SOON_S)
    assert len(far.bodies) == 1
    assert set(link.crossed) == {ID_A, ID_B}
    assert link.counts["answer.deaf"] == 1
    client.close()


async def test_a_mode_catches_what_is_under_way(link: Proxy, far: FarSide) -> None:
    far.answer_after_s = 0.2
    client = await Client(link.port).open()
    asked = asyncio.create_task(client.ask(b"x", within_s=0.6))
    await asyncio.sleep(0.1)
    await link.set_mode(Mode.BLACKHOLE)
    with pytest.raises(TimeoutError):
        await asked
    assert far.bodies == [b"x"]
    client.close()


async def test_refuse_resets_standing_connections_and_keeps_the_port(link: Proxy) -> None:
    client = await Client(link.port).open()
    assert await client.ask(b"x") == b"x"
    await link.set_mode(Mode.REFUSE)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"y")
    with pytest.raises(ConnectionRefusedError):
        await Client(link.port).open()
    await link.set_mode(Mode.OPEN)
    again = await Client(link.port).open()
    assert await again.ask(b"z") == b"z"
    again.close()


async def test_a_busy_front_answers_503_at_once_and_nothing_gets_through(link: Proxy, far: FarSide) -> None:
    client = await Client(link.port).open()
    assert await client.answer(b"before") == (200, b"before")
    await link.set_mode(Mode.BUSY)
    for _ in range(3):  # on the same connection: a front that is busy does not hang up
        status, _ = await client.answer(instructions(ID_A), "/internal/instructions", within_s=SOON_S)
        assert status == 503
    fresh = await Client(link.port).open()
    assert (await fresh.answer(b"fresh"))[0] == 503
    assert far.bodies == [b"before"]
    assert set(link.swallowed) == {ID_A} and not link.crossed
    assert link.counts["request.busy"] == 4 and link.counts["request.messages"] == 5
    await link.set_mode(Mode.OPEN)
    assert await client.answer(b"after") == (200, b"after")
    for one in (client, fresh):
        one.close()


async def test_a_busy_front_lets_through_what_was_under_way(link: Proxy, far: FarSide) -> None:
    far.answer_after_s = 0.2
    client = await Client(link.port).open()
    asked = asyncio.create_task(client.answer(b"x"))
    await asyncio.sleep(0.1)
    await link.set_mode(Mode.BUSY)
    assert await asked == (200, b"x")
    client.close()


async def test_a_share_of_requests_is_refused_by_the_seed(link: Proxy, far: FarSide) -> None:
    async def statuses(port: int) -> list[int]:
        client = await Client(port).open()
        found = [(await client.answer(b"%d" % number))[0] for number in range(60)]
        client.close()
        return found

    link.set_noise(Noise(request=Chances(busy=0.5)))
    first = await statuses(link.port)
    assert 15 < first.count(503) < 45 and set(first) == {200, 503}
    assert len(far.bodies) == first.count(200)
    again = Proxy("gateway-core", link.upstream_port, seed=7)
    await again.start()
    again.set_noise(link.noise)
    assert await statuses(again.port) == first
    await again.stop()


async def test_refusals_of_the_far_side_are_counted_by_status(link: Proxy, far: FarSide) -> None:
    client = await Client(link.port).open()
    await client.answer(b"fine")
    far.status = b"429 Too Many Requests"
    for _ in range(3):
        assert (await client.answer(b"too often"))[0] == 429
    assert link.counts["answer.429"] == 3 and "answer.200" not in link.counts
    client.close()


async def test_http_has_no_slow_mode(link: Proxy) -> None:
    with pytest.raises(FaultsRefused, match="only a database's link"):
        await link.set_mode(Mode.SLOW)
    assert link.mode is Mode.OPEN


async def test_a_dead_far_side_ends_the_client_s_connection(link: Proxy, far: FarSide) -> None:
    client = await Client(link.port).open()
    assert await client.ask(b"x") == b"x"
    await far.stop()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"y")
    other = await Client(link.port).open()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await other.ask(instructions(ID_A), "/internal/instructions")
    assert not link.crossed
    client.close()
    other.close()


@pytest.mark.parametrize("met", [True, False], ids=["an old connection", "a new one"])
async def test_what_was_sent_before_the_far_side_s_end_was_heard_is_lost_here(
    link: Proxy, far: FarSide, met: bool
) -> None:
    client = Client(link.port)
    if met:
        await client.open()
        assert await client.ask(b"x") == b"x"
    await far.stop()
    if met:
        assert await client.reader.read() == b""  # an end, not yet a reset: it has crossed what follows
    else:
        await client.open()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(instructions(ID_A), "/internal/instructions")
    ends = time.monotonic() + 5
    while ID_A not in link.swallowed and time.monotonic() < ends:  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(0.01)
    assert ID_A in link.swallowed and not link.crossed
    client.close()


async def test_drop_of_a_request_is_never_answered(link: Proxy, far: FarSide) -> None:
    link.set_noise(Noise(request=Chances(drop=1.0)))
    client = await Client(link.port).open()
    with pytest.raises(TimeoutError):
        await client.ask(instructions(ID_A), "/internal/redrive", within_s=SOON_S)
    assert far.bodies == []
    assert set(link.swallowed) == {ID_A}
    client.close()


async def test_drop_and_cut_of_an_answer(link: Proxy, far: FarSide) -> None:
    link.set_noise(Noise(answer=Chances(drop=1.0)))
    client = await Client(link.port).open()
    with pytest.raises(TimeoutError):
        await client.ask(b"one", within_s=SOON_S)
    client.close()
    link.set_noise(Noise(answer=Chances(cut=1.0)))
    client = await Client(link.port).open()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"two")
    assert far.bodies == [b"one", b"two"]


async def test_cut_of_a_request_resets_and_forwards_nothing(link: Proxy, far: FarSide) -> None:
    link.set_noise(Noise(request=Chances(cut=1.0)))
    client = await Client(link.port).open()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"two")
    assert far.bodies == []


async def test_double_reaches_the_far_side_twice_and_answers_stay_in_step(link: Proxy, far: FarSide) -> None:
    link.set_noise(Noise(request=Chances(double=1.0)))
    client = await Client(link.port).open()
    for word in (b"one", b"two", b"three"):
        assert await client.ask(word) == word
    await asyncio.sleep(0.05)
    assert sorted(far.bodies) == sorted([b"one", b"two", b"three"] * 2)
    client.close()


async def test_reorder_lets_a_later_message_pass_first(link: Proxy, far: FarSide) -> None:
    held, free = await Client(link.port).open(), await Client(link.port).open()
    link.set_noise(Noise(request=Chances(reorder=1.0)))
    first = asyncio.create_task(held.ask(b"first"))
    await asyncio.sleep(0.05)
    link.set_noise(Noise())
    assert await free.ask(b"second") == b"second"
    assert await first == b"first"
    assert far.bodies == [b"second", b"first"]
    held.close()
    free.close()


async def test_truncated_request_records_only_the_instructions_whose_bytes_went_out(link: Proxy, far: FarSide) -> None:
    link.set_noise(Noise(request=Chances(truncate=1.0)))
    many = [f"{number:032x}" for number in range(200)]
    client = await Client(link.port).open()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(instructions(*many), "/internal/instructions")
    await asyncio.sleep(0.05)
    assert far.bodies == []
    assert set(link.crossed) | set(link.swallowed) == set(many)
    assert 0 < len(link.crossed) < len(many)
    got = b"".join(far.parts)
    for identifier in link.swallowed:
        assert identifier.encode() not in got
    client.close()


async def test_truncated_answer_ends_in_the_middle(link: Proxy, far: FarSide) -> None:
    link.set_noise(Noise(answer=Chances(truncate=1.0)))
    client = await Client(link.port).open()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"y" * 50_000)
    assert far.bodies == [b"y" * 50_000]


async def test_delay_and_slow_bytes_take_their_time(link: Proxy) -> None:
    clock_of = asyncio.get_running_loop().time
    link.set_noise(Noise(request=Chances(delay=1.0, delay_ms=(150, 160))))
    client = await Client(link.port).open()
    began = clock_of()
    await client.ask(b"x")
    assert clock_of() - began >= 0.15
    link.set_noise(Noise(answer=Chances(bytes_per_s=4_000)))
    began = clock_of()
    await client.ask(b"x" * 1_000)
    assert clock_of() - began >= 0.2
    client.close()


async def test_only_instructions_are_recorded_as_crossed(link: Proxy) -> None:
    client = await Client(link.port).open()
    burns = json.dumps({"ids": [ID_A]}).encode()
    await client.ask(burns, "/internal/burns")
    await client.ask(instructions(ID_A), "/internal/inquiries")
    assert not link.crossed
    await client.ask(instructions(ID_B), "/internal/instructions")
    before = dict(link.crossed)
    await client.ask(instructions(ID_B), "/internal/instructions")
    assert link.crossed == before  # the first time counts
    assert set(before) == {ID_B}
    client.close()


async def test_a_request_goes_on_when_its_client_has_gone(link: Proxy, far: FarSide) -> None:
    link.set_noise(Noise(request=Chances(delay=1.0, delay_ms=(150, 150))))
    client = await Client(link.port).open()
    with pytest.raises(TimeoutError):
        await client.ask(b"late", within_s=0.05)
    client.close()
    await asyncio.sleep(0.3)
    assert far.bodies == [b"late"]


async def test_stop_leaves_no_connection(link: Proxy) -> None:
    client = await Client(link.port).open()
    await client.ask(b"x")
    assert link.connections == 1
    await link.stop()
    assert link.connections == 0
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"x")


def test_same_seed_same_faults() -> None:
    chances = Chances(delay=0.3, delay_ms=(1, 9), drop=0.1, double=0.2, truncate=0.1)
    one, two = dice_for(5, "gateway-core", 3), dice_for(5, "gateway-core", 3)
    assert [draw(chances, one) for _ in range(200)] == [draw(chances, two) for _ in range(200)]
    other = dice_for(5, "gateway-core", 4)
    assert [draw(chances, other) for _ in range(200)] != [
        draw(chances, dice) for dice in [dice_for(5, "gateway-core", 3)] * 200
    ]


@pytest.mark.parametrize(
    "noise",
    [
        Noise(request=Chances(drop=1.5)),
        Noise(answer=Chances(delay=0.1, delay_ms=(9, 1))),
        Noise(answer=Chances(double=0.1)),
        Noise(answer=Chances(busy=0.1)),
        Noise(request=Chances(busy=-0.1)),
        Noise(request=Chances(bytes_per_s=-1)),
    ],
)
def test_impossible_noise_is_refused_by_name(noise: Noise) -> None:
    with pytest.raises(FaultsRefused, match=r"request\.|answer\."):
        checked(noise)
