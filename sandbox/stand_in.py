"""What a KWOK node's pods have in common: a log that grows, an HTTP server, an echo server.

KWOK plays the kubelet but runs no containers, so one of these per cluster stands in for all of them: their logs and
attached streams are the file it appends a line a second to, and every forwarded port ends at one of its two servers. It
runs as a script of its own (standard library only) until it is killed.
"""

from __future__ import annotations

import socketserver
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

_CHUNK = 65536
_HEAD_END = b"\r\n\r\n"
_HEAD_LIMIT = 16384


class _Echo(socketserver.BaseRequestHandler):
    """Sends back whatever comes, until the other side has finished."""

    def handle(self) -> None:
        while chunk := self.request.recv(_CHUNK):
            self.request.sendall(chunk)


class _Hello(socketserver.BaseRequestHandler):
    """Answers one HTTP request with the greeting, whatever was asked."""

    greeting = b""

    def handle(self) -> None:
        head = b""
        while _HEAD_END not in head and len(head) < _HEAD_LIMIT:
            chunk = self.request.recv(_CHUNK)
            if not chunk:
                return
            head += chunk
        fields = (
            f"Content-Type: text/plain\r\nContent-Length: {len(self.greeting)}\r\nConnection: close\r\n\r\n"
        )
        self.request.sendall(b"HTTP/1.1 200 OK\r\n" + fields.encode() + self.greeting)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _serve(port: int, handler: type[socketserver.BaseRequestHandler]) -> None:
    server = _Server(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def log_line(number: int, now: datetime) -> str:
    """One line as a container runtime writes it (CRI): time, stream, "full line", text."""
    return f"{now:%Y-%m-%dT%H:%M:%S.%f}000Z stdout F tick {number}\n"


def main(log: Path, echo_port: int, http_port: int, greeting: str) -> None:
    """Serves and writes until killed."""
    _Hello.greeting = greeting.encode()
    _serve(echo_port, _Echo)
    _serve(http_port, _Hello)
    pause = threading.Event()
    number = 0
    with log.open("a") as output:
        while True:
            number += 1
            output.write(log_line(number, datetime.now(UTC)))
            output.flush()
            pause.wait(1.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
