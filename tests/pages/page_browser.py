"""Drives Debian's Chromium over a pipe (DevTools protocol) and serves pages to it with their real headers.

A pipe needs no port and no library. Widths below Chromium's own minimum are emulated as a phone's. What a page
asked for and what its policy refused is recorded, so that "one request, nothing blocked" can be tested.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

CHROMIUM = shutil.which("chromium")
ANSWER_S = 30.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-dev-shm-usage", "--force-color-profile=srgb", "--font-render-hinting=none",
)  # fmt: skip


@dataclass
class Served:
    """One answer of the local server."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200
    content_type: str = "text/html; charset=utf-8"


@contextmanager
def serving(answers: dict[str, Served]) -> Iterator[str]:
    """A server on loopback that gives these answers by path; yields its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            self.send_response(found.status if found else 404)
            for name, value in (*found.headers, ("content-type", found.content_type)) if found else ():
                self.send_header(name, value)
            body = found.body if found else b""
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Tab:
    """One page of the browser, emulating a screen of some width."""

    browser: "Browser"
    session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One protocol command of this tab."""
        return self.browser.call(method, params, self.session)

    def screen(self, width: int, height: int = 640, *, dark: bool = False, scale: float = 1.0) -> None:
        """Emulate a screen in CSS pixels."""
        narrow = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=narrow,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def slow(self, *, bits_per_s: int, latency_ms: int) -> None:
        """Throttle the network, as on 2G."""
        rate = bits_per_s / 8
        self.call(
            "Network.emulateNetworkConditions",
            offline=False, latency=latency_ms, downloadThroughput=rate, uploadThroughput=rate,
        )  # fmt: skip

    def open(self, url: str) -> float:
        """Load a page; returns the seconds until its load event."""
        self.requests.clear()
        self.complaints.clear()
        started = time.monotonic()
        self.browser.loaded.discard(self.session)
        self.call("Page.navigate", url=url)
        self.browser.pump(lambda: self.session in self.browser.loaded)
        return time.monotonic() - started

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, run by the debugger whatever the page's policy."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))


class Browser:
    """A headless Chromium of its own, with a fresh profile, ended with the block."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self._tabs: dict[str, Tab] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._number = 0
        self._buffer = b""
        self._profile = tempfile.mkdtemp(prefix="hakika-chromium-")

    def __enter__(self) -> "Browser":
        if CHROMIUM is None:
            raise RuntimeError("chromium is not installed: tools/apt.sh installs it")
        theirs_in, self._out = (_high(end) for end in os.pipe())
        self._in, theirs_out = (_high(end) for end in os.pipe())

        def wire() -> None:
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        words = [CHROMIUM, *FLAGS, f"--user-data-dir={self._profile}", "--remote-debugging-pipe", "about:blank"]
        self._process = subprocess.Popen(
            words, preexec_fn=wire, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.call("Browser.close", {})
        except (RuntimeError, OSError):
            self._process.kill()
        self._process.wait(timeout=ANSWER_S)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def tab(self) -> Tab:
        """A fresh tab with its network and its log watched."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Network", "Log", "Runtime"):
            tab.call(f"{domain}.enable")
        return tab

    def call(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        """One command, its result awaited."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        self.pump(lambda: number in self._answers)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def pump(self, until: Any) -> None:
        """Read messages until a condition holds, at most ANSWER_S."""
        end = time.monotonic() + ANSWER_S
        while not until():
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise RuntimeError("chromium does not answer")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("chromium has ended")
            self._buffer += data
            *messages, self._buffer = self._buffer.split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        tab = self._tabs.get(message.get("sessionId", ""))
        if tab is None:
            return
        params = message["params"]
        match message["method"]:
            case "Page.loadEventFired":
                self.loaded.add(tab.session)
            case "Network.requestWillBeSent" if not params["request"]["url"].startswith("data:"):
                tab.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                tab.complaints.append(params["entry"]["text"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Page.javascriptDialogOpening":
                tab.complaints.append(json.dumps(params)[:300])


def _high(descriptor: int) -> int:
    """The same pipe end above 9, so that it never is 3 or 4, which Chromium speaks on."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy
