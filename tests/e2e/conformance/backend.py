"""A little HTTP server that the API server can reach: what stands behind a Service of the tests."""

from __future__ import annotations

import functools
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.path.partition("?")[0].split("/")[1]:
            case "pieces":
                self._pieces()
            case "redirect":
                self._answer(302, b"", Location="http://example.com/elsewhere")
            case "headers":
                more = {"Set-Cookie": "session=1", "X-Custom": "down", "WWW-Authenticate": "Basic"}
                self._answer(200, b"hello", **more)
            case _:
                self._answer(200, f"{self.command} {self.path} {body.decode()}".encode())

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Nothing: the tests look at answers."""

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _pieces(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"one\n", b"two\n", b"three\n"):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


@functools.cache
def address() -> tuple[str, int]:
    """Where it listens, started at the first question; the API server refuses loopback as an endpoint."""
    server = ThreadingHTTPServer((_own_address(), 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return str(server.server_address[0]), server.server_port


def _own_address() -> str:
    """The address this machine would send from; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("198.51.100.1", 9))
        return str(asking.getsockname()[0])
