"""How a request or the HTTP/1.1 server itself ends other than well: callers who leave, handlers that fail, a stop."""

import asyncio

import pytest
from http1_client import HOST, TIMER_S, Echo, Gate, ask, now_s, on_both_loops, serving, until

from hakika.http1.arrived import Arrived, Gone
from hakika.http1.server import listen

CLOSE = "Connection: close"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
HALF_BODY = ask("/half", "Content-Length: 10", method="POST") + b"hello"
WITHIN_S = 0.15

# callers who leave


class Followed:
    """A handler that waits for the end of its caller, and says what became of it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def __call__(self, arrived: Arrived) -> None:
        try:
            self.said.append("begun")
            await arrived.hung_up()
            self.said.append("hung up")
            await asyncio.sleep(0.05)
            arrived.respond(200, "text/plain", (), b"late")
            self.said.append("answered")
        except Gone:
            self.said.append("gone")
        except asyncio.CancelledError:
            self.said.append("cancelled")
            raise


@on_both_loops
@pytest.mark.parametrize("sent", [ask("/f"), ask("/f", method="POST", body=b"hello"), ask("/f") + HALF_HEAD])
async def test_a_handler_whose_caller_vanishes_runs_on_and_is_told_so(sent: bytes) -> None:
    async with serving() as served:
        handler = served.app.handlers["/f"] = Followed()
        client = await served.client()
        client.send(sent)
        await until(lambda: bool(handler.said))
        await asyncio.sleep(0.01)
        assert handler.said == ["begun"]
        client.reset()
        await until(lambda: len(handler.said) == 3)
        assert handler.said == ["begun", "hung up", "gone"]
        assert not served.server.connections


@on_both_loops
@pytest.mark.parametrize("half", [False, True])
async def test_a_caller_who_sends_no_more_has_hung_up_and_may_still_read(half: bool) -> None:
    async with serving() as served:
        handler = served.app.handlers["/f"] = Followed()
        client = await served.client()
        client.send(ask("/f"))
        await until(lambda: bool(handler.said))
        if half:
            client.half_close()
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"late", "close")
            assert await client.rest() == b""
        else:
            await client.close()
        await until(lambda: len(handler.said) == 3 and not served.server.connections)
        assert handler.said == ["begun", "hung up", "answered"]


@on_both_loops
async def test_nobody_has_hung_up_whose_body_has_just_arrived() -> None:
    async with serving() as served:
        handler = served.app.handlers["/half"] = Followed()
        client = await served.client()
        client.send(HALF_BODY)
        await until(lambda: bool(handler.said))
        client.send(b"world")
        await asyncio.sleep(0.03)
        assert handler.said == ["begun"]
        client.reset()
        await until(lambda: handler.said[1:] == ["hung up", "gone"])


@on_both_loops
async def test_whole_requests_before_a_half_close_are_all_answered() -> None:
    async with serving() as served:
        client = await served.client()
        client.send(ask("/0") + ask("/1", method="POST", body=b"x") + ask("/2"))
        client.half_close()
        answers = [await client.answer() for _ in range(3)]
        assert [answer.told["path"] for answer in answers] == ["/0", "/1", "/2"]
        assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]
        assert await client.rest() == b""
        await until(lambda: not served.server.connections)


@on_both_loops
@pytest.mark.parametrize("sent", [b"", HALF_HEAD, ask("/a") + HALF_HEAD])
async def test_a_half_close_with_nothing_asked_closes(sent: bytes) -> None:
    async with serving() as served:
        client = await served.client()
        await client.send_apart(sent)
        client.half_close()
        assert (await client.rest()).count(b"HTTP/1.1 200") == sent.count(b"/a")
        await until(lambda: not served.server.connections)


@on_both_loops
async def test_a_half_close_after_the_answer_closes_once_the_handler_has_ended() -> None:
    async with serving() as served:
        ends = asyncio.Event()

        async def handler(arrived: Arrived) -> None:
            arrived.respond(200, "text/plain", (), b"first")
            await ends.wait()

        served.app.handlers["/on"] = handler
        client = await served.client()
        client.send(ask("/on"))
        assert (await client.answer()).body == b"first"
        client.half_close()
        await asyncio.sleep(0.02)
        ends.set()
        async with asyncio.timeout(1):
            assert await client.rest() == b""


@on_both_loops
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("ahead", [b"", ask("/before")])
async def test_a_body_that_breaks_off_is_known_to_its_handler(reset: bool, ahead: bytes) -> None:
    async with serving() as served:
        client = await served.client()
        await client.send_apart(ahead + HALF_BODY)
        await until(lambda: "/half" in served.app.began)
        if reset:
            client.reset()
        else:
            client.half_close()
        await until(lambda: served.app.gone == ["/half"] and not served.server.connections)
        assert not served.app.inside
        assert [path for _, path, _ in served.app.saw] == (["/before"] if ahead else [])


# handlers that fail


@on_both_loops
async def test_a_handler_that_raises_closes_its_connection_and_is_logged() -> None:
    async with serving() as served:

        async def boom(arrived: Arrived) -> None:
            raise ValueError("the secret of the inside")

        served.app.handlers["/boom"] = boom
        client = await served.client()
        client.send(ask("/a") + ask("/boom") + ask("/never"))
        assert (await client.answer()).status == 200
        assert await client.rest() == b""
        await until(lambda: not served.server.connections)
        assert served.app.began == ["/a", "/boom"]
        (logged,) = served.logged
        assert "GET /boom" in logged
        assert "the secret of the inside" in logged
        served.logged.clear()


@on_both_loops
@pytest.mark.parametrize("sent", [ask("/mute"), ask("/mute", "Content-Length: 9", method="POST") + b"hello"])
async def test_a_handler_that_does_not_answer_closes_its_connection(sent: bytes) -> None:
    async with serving() as served:

        async def mute(arrived: Arrived) -> None:
            return

        served.app.handlers["/mute"] = mute
        client = await served.client()
        client.send(sent)
        assert await client.cut() == b""
        await until(lambda: not served.server.connections)


@on_both_loops
async def test_a_request_is_answered_once() -> None:
    async with serving() as served:
        kept: list[Arrived] = []

        async def twice(arrived: Arrived) -> None:
            kept.append(arrived)
            arrived.respond(200, "text/plain", (), b"once")
            with pytest.raises(RuntimeError, match="answered once"):
                arrived.respond(200, "text/plain", (), b"twice")

        async def for_another(arrived: Arrived) -> None:
            with pytest.raises(RuntimeError, match="answered once"):
                kept[0].respond(200, "text/plain", (), b"thrice")
            arrived.respond(200, "text/plain", (), b"own")

        served.app.handlers |= {"/twice": twice, "/other": for_another}
        answers = await served.exchange(ask("/twice") + ask("/other", CLOSE))
        assert [answer.body for answer in answers] == [b"once", b"own"]


@on_both_loops
@pytest.mark.parametrize("odd", ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\0b", "\r\n\r\nHTTP/1.1 200 OK", "€"])
@pytest.mark.parametrize("where", ["value", "name", "content type"])
async def test_a_header_that_is_not_one_line_is_not_sent(odd: str, where: str) -> None:
    async with serving() as served:

        async def handler(arrived: Arrived) -> None:
            headers = (odd, "x") if where == "name" else ("x-thing", odd if where == "value" else "x")
            with pytest.raises(ValueError, match=r"one line|codec"):
                arrived.respond(200, odd if where == "content type" else "text/plain", (headers,), b"wrong")
            arrived.respond(500, "text/plain", (), b"right")

        served.app.handlers["/odd"] = handler
        (answer,) = await served.exchange(ask("/odd", CLOSE))
        assert (answer.status, answer.body) == (500, b"right")
        assert set(answer.headers) == {"content-type", "content-length", "date", "connection"}


# stopping


@on_both_loops
async def test_stop_closes_what_asks_nothing_and_frees_the_port() -> None:
    async with serving() as served:
        idle, kept, slow = [await served.client() for _ in range(3)]
        kept.send(ask())
        await kept.answer()
        slow.send(HALF_HEAD)
        await asyncio.sleep(0.02)
        begun_s = now_s()
        await served.server.stop(2)
        assert now_s() - begun_s < 1
        assert not served.server.connections
        assert [await client.cut() for client in (idle, kept, slow)] == [b""] * 3
        again, port = await listen(Echo(), HOST, served.port)
        assert port == served.port
        await again.stop(0)
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection(HOST, served.port)


@on_both_loops
async def test_stop_lets_what_is_asked_be_answered_and_cuts_what_is_not() -> None:
    async with serving() as served:
        soon, never = Gate(), Gate()
        served.app.handlers |= {"/soon": soon, "/never": never}
        first, second, uploading = [await served.client() for _ in range(3)]
        first.send(ask("/soon") + ask("/more"))
        second.send(ask("/never"))
        uploading.send(HALF_BODY)
        await until(lambda: soon.held == never.held == 1 and "/half" in served.app.began)
        begun_s = now_s()
        stopping = asyncio.create_task(served.server.stop(WITHIN_S))
        await asyncio.sleep(0.02)
        soon.opened.set()
        answer = await first.answer()
        assert (answer.body, answer.headers["connection"]) == (b"opened", "close")
        assert await first.rest() == b""
        await first.close()
        await stopping
        assert WITHIN_S - TIMER_S <= now_s() - begun_s < WITHIN_S + 2
        assert [await client.cut() for client in (second, uploading)] == [b""] * 2
        await until(lambda: not served.server.connections)
        assert served.app.gone == ["/half"]
        never.opened.set()
        await until(lambda: not served.app.inside)
        assert served.app.gone == ["/half", "/never"]
        assert "/more" not in served.app.began
