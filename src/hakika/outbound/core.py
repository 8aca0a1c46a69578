"""Calls to the core: one HTTP exchange each, an explicit deadline, an answer or "no answer".

Two kinds of failure, told apart by what was written: `NotSent` when not one byte of the request left this
process (no connection could be made), `NoAnswer` for everything else. Busy, 4xx, 5xx and unreadable answers
are "no answer" as well: only a stored answer is evidence. At the deadline the connection is closed.
"""

from typing import TypeVar

import msgspec

from hakika.outbound.lean import LeanClient, NothingWritten, Unanswered
from hakika.wire.core_api import Answers, Ids, Instruction, Instructions, NameAnswer, NameQuery, Session

T = TypeVar("T")

INSTRUCT_S = 2.5
ASK_S = 2.0
SESSION_S = 1.0
NAME_S = 0.8
CONNECTIONS = 8


class NoAnswer(Exception):
    """Bytes left and no evidence came back: the ids asked about stay open.

    `why` is for people and statistics: `timeout` (silence), `busy` (answered with another status than 200) or
    `senseless` (an answer that cannot be read). None of them is evidence.
    """

    def __init__(self, text: str, why: str = "timeout") -> None:
        super().__init__(text)
        self.why = why


class NotSent(Exception):
    """Not one byte of the request was written."""


class CoreClient:
    """The core's internal API, authenticated by a bearer token."""

    def __init__(self, base_url: str, token: str) -> None:
        headers = (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"))
        self._http = LeanClient(base_url, connections=CONNECTIONS, headers=headers)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def instruct(self, instructions: list[Instruction], *, redrive: bool = False) -> Answers:
        """Credit transfers; the stored answer of each. `redrive` posts again what a restored core has lost."""
        path = "/internal/redrive" if redrive else "/internal/instructions"
        return await self._post(path, Instructions(instructions), Answers, INSTRUCT_S, len(instructions))

    async def burn(self, ids: list[str]) -> Answers:
        """Make ids unable to ever move money; `posted` where one already has."""
        return await self._post("/internal/burns", Ids(ids), Answers, ASK_S, len(ids))

    async def inquire(self, ids: list[str]) -> Answers:
        """What is stored under ids; `unknown` is evidence of nothing."""
        return await self._post("/internal/inquiries", Ids(ids), Answers, ASK_S, len(ids))

    async def name(self, query: NameQuery) -> NameAnswer:
        """Who would be credited, whole name."""
        body = await self._call("POST", "/internal/names", msgspec.json.encode(query), NAME_S)
        return _decoded(body, NameAnswer)

    async def session(self) -> Session:
        """A live, authenticated connection, or an exception within SESSION_S."""
        return _decoded(await self._call("GET", "/internal/session", b"", SESSION_S), Session)

    async def redriven(self, incarnation: int) -> None:
        """Tell a restored core that everything we know has been driven again."""
        await self._call("POST", "/internal/redriven", msgspec.json.encode({"incarnation": incarnation}), ASK_S)

    async def _post(
        self, path: str, content: msgspec.Struct, kind: type[Answers], deadline_s: float, count: int
    ) -> Answers:
        answers = _decoded(await self._call("POST", path, msgspec.json.encode(content), deadline_s), kind)
        if len(answers.answers) != count:
            raise NoAnswer(f"{path}: {len(answers.answers)} answers for {count} ids", "senseless")
        return answers

    async def _call(self, method: str, path: str, body: bytes, deadline_s: float) -> bytes:
        try:
            answer = await self._http.exchange(method, path, body, deadline_s=deadline_s)
        except NothingWritten as error:
            raise NotSent(str(error)) from error
        except Unanswered as error:
            raise NoAnswer(str(error)) from error
        if answer.status != 200:
            raise NoAnswer(f"{path}: HTTP {answer.status}", "busy")
        return answer.body


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise NoAnswer(f"unreadable answer: {error}", "senseless") from error
