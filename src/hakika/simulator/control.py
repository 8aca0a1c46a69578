"""The supervisor's control socket: `hakika break`, `hakika mend` and `hakika links` speak to it in JSON lines.

A Unix socket, 0600 in a folder 0700: who may open it owns the platform. One request a line, one answer a line;
an answer has `ok`, and `error` where it is false. The socket's name may be longer than the 108 bytes that the
kernel takes, so it is reached through its folder's descriptor.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hakika.simulator.faults import Mode
from hakika.simulator.links import UnknownLink
from hakika.simulator.stack import Stack, StackFault

LINE_MAX = 65536
ANSWER_MAX = 2**22
SOCKET = "control.sock"  # as in folder.py
CALL_S = 10.0
BREAKS = (Mode.BLACKHOLE, Mode.DEAF, Mode.REFUSE, Mode.BUSY)

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlFault(Exception):
    """The supervisor cannot be asked, or says no; the message is for people."""


class Control:
    """Serves the socket of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._server: asyncio.Server | None = None
        self._handlers: dict[str, Handler] = {
            "break": self._break,
            "mend": self._mend,
            "links": self._links,
            "kill": self._kill,
            "revive": self._revive,
            "ready": self._ready,
        }

    async def start(self) -> None:
        """Listen; a socket left over is replaced."""
        path = self._stack.folder.control_socket
        path.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            name = f"/proc/self/fd/{folder}/{path.name}"
            self._server = await asyncio.start_unix_server(self._serve, name, limit=LINE_MAX)
            path.chmod(0o600)
        finally:
            os.close(folder)

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
        self._stack.folder.control_socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(CALL_S):
                line = await reader.readuntil(b"\n")
                answer = await self.answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to one line."""
        try:
            request = json.loads(line)
        except ValueError:
            return {"ok": False, "error": "one JSON object a line"}
        handler = self._handlers.get(request.get("do", "")) if isinstance(request, dict) else None
        if handler is None:
            return {"ok": False, "error": f'"do" is one of {", ".join(self._handlers)}'}
        try:
            return {"ok": True, **await handler(request)}
        except (UnknownLink, StackFault, ControlFault) as error:
            return {"ok": False, "error": str(error)}

    async def _break(self, request: dict[str, Any]) -> dict[str, Any]:
        how = request.get("how", Mode.BLACKHOLE.value)
        if how not in [mode.value for mode in BREAKS]:
            raise ControlFault(f"how: one of {', '.join(mode.value for mode in BREAKS)}, not {how!r}")
        await self._stack.links.set_mode(str(request.get("link")), Mode(how))
        return {"link": request["link"], "mode": how}

    async def _mend(self, request: dict[str, Any]) -> dict[str, Any]:
        link = str(request.get("link"))
        names = list(self._stack.links.proxies) if link == "all" else [link]
        for name in names:
            await self._stack.links.set_mode(name, Mode.OPEN)
        return {"links": names, "mode": Mode.OPEN.value}

    async def _links(self, _: dict[str, Any]) -> dict[str, Any]:
        ready = self._stack.ready()
        return {"links": self._stack.links.table(), "dead": self._stack.dead(), "pids": ready["pids"]}

    async def _kill(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._stack.kill(str(request.get("process")), stay_dead=request.get("stay_dead") is True)
        return {"process": request["process"]}

    async def _revive(self, request: dict[str, Any]) -> dict[str, Any]:
        target = str(request.get("process"))
        if target not in self._stack.dead():
            raise ControlFault(f"process: {target!r} was not told to stay dead")
        await self._stack.revive(target)
        return {"process": target}

    async def _ready(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ready": self._stack.ready()}


async def ask(state: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the supervisor of the platform in `state`. Raises ControlFault."""
    try:
        folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ControlFault(f"nothing runs in {state}: start it with `hakika up --state {state}`") from error
    try:
        async with asyncio.timeout(CALL_S):
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{SOCKET}", limit=ANSWER_MAX)
            writer.write(json.dumps(request).encode() + b"\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError) as error:
        raise ControlFault(f"nothing runs in {state}: start it with `hakika up --state {state}`") from error
    finally:
        os.close(folder)
    answer = json.loads(line) if line else {"ok": False, "error": "the supervisor ended"}
    if not answer.get("ok"):
        raise ControlFault(str(answer.get("error")))
    return dict(answer)
