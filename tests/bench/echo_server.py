"""A server that answers every request with its own body, in a thread of its own, and keeps what it was sent."""

import socketserver
import threading
from typing import Self


class _Handler(socketserver.StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = self.rfile.read(length)
            self.server.bodies.append(body)
            head = f"HTTP/1.1 {self.server.status} X\r\ncontent-length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    status: int
    bodies: list[bytes]


class EchoServer:
    """Listens while the block lasts."""

    def __init__(self, status: int = 200) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.status = status
        self._server.bodies = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def bodies(self) -> list[bytes]:
        return self._server.bodies
