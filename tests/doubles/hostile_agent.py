"""An agent without manners: it authenticates with a real token and then says whatever the test puts into its mouth.

Blocking sockets and one thread, so that it can also fall silent, stop reading, or send half a frame. Nothing of the
engine is used for speaking: the engine refuses to break the rules.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator

import msgspec

from kasbah.wire.methods import GET_CONFIGURATION
from kasbah.wire.native_tunnel.frames import END, HEADER, AgentHello, FrameType, frame
from kasbah.wire.rpc import encode_message
from kasbah.wire.stream import StreamClass, StreamKind
from kasbah.wire.websocket import NATIVE_SUBPROTOCOL, WebSocketReceiver, binary_header

Answer = Callable[["HostileAgent", int, bytes], None]
"""What to do with a request: the agent, the stream's id and the opening."""


class HostileAgent:
    """One connection to kas at `127.0.0.1:port`.

    Attributes:
        requests: the streams that kas opened, in order.
        resets: the streams that kas reset, in order.
        reset_texts: what kas said about each.
        admitted: kas has greeted.
        closed: kas has closed the connection.
    """

    def __init__(self, port: int, answer: Answer) -> None:
        self.requests: list[int] = []
        self.resets: list[int] = []
        self.reset_texts: list[str] = []
        self.closed = threading.Event()
        self.configured = threading.Event()
        self.admitted = threading.Event()
        self._answer = answer
        self._next_id = 1
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._rest = b""

    def upgrade(self) -> None:
        """The WebSocket's handshake."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /-/kubernetes-agent/ HTTP/1.1",
            "Host: kas",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Sec-WebSocket-Protocol: {NATIVE_SUBPROTOCOL}",
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(65536)
        assert head.startswith(b"HTTP/1.1 101"), head
        self._rest = head.partition(b"\r\n\r\n")[2]

    def greet(self, token: str) -> None:
        """Show the token."""
        hello = AgentHello(token=token, pod_id=1)
        self.say(frame(FrameType.HELLO, payload=msgspec.json.encode(hello)))

    def say(self, data: bytes) -> None:
        """Bytes of the tunnel, in one message; lost when kas has hung up."""
        with contextlib.suppress(OSError):
            self._socket.sendall(binary_header(len(data), masked=True) + data)

    def say_raw(self, data: bytes) -> None:
        """Bytes below the WebSocket."""
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def call(self, path: str, message: bytes, *, end: bool = True) -> int:
        """Open a call; the stream's id."""
        stream_id, self._next_id = self._next_id, self._next_id + 2
        opening = bytes((StreamKind.RPC, StreamClass.WATCH)) + path.encode()
        self.say(
            frame(FrameType.OPEN, stream_id, opening)
            + frame(FrameType.DATA, stream_id, message, flags=END if end else 0)
        )
        return stream_id

    def ask_for_configuration(self) -> int:
        """As an honest agent does first: kas tells the hub then what the configuration grants. The call's id."""
        request = GET_CONFIGURATION.request(skip_register=True)
        return self.call(GET_CONFIGURATION.path, encode_message(request))

    def read(self) -> None:
        """Read until kas closes; the thread's work."""
        receiver, buffer = WebSocketReceiver(unmask=None), b""
        data = self._rest
        with contextlib.suppress(OSError):
            while not receiver.closed:
                for piece in receiver.receive(data):
                    buffer = self._take(buffer + piece)
                data = self._socket.recv(1 << 16)
                if not data:
                    break
        self.closed.set()

    def _take(self, buffer: bytes) -> bytes:
        while len(buffer) >= HEADER.size:
            stream_id, length, kind, _, value = HEADER.unpack_from(buffer)
            end = HEADER.size + length
            if len(buffer) < end:
                break
            self._frame(kind, stream_id, value, buffer[HEADER.size : end])
            buffer = buffer[end:]
        return buffer

    def _frame(self, kind: int, stream_id: int, value: int, payload: bytes) -> None:
        if kind == FrameType.HELLO:
            self.admitted.set()
        elif kind == FrameType.OPEN:
            self.requests.append(stream_id)
            self._answer(self, stream_id, payload)
        elif kind == FrameType.RESET:
            self.reset_texts.append(payload.decode())
            self.resets.append(stream_id)
        elif kind == FrameType.DATA and stream_id % 2:
            self.configured.set()
        elif kind == FrameType.PING:
            self.say(frame(FrameType.PONG, value=value))

    def end(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def say_nothing(agent: HostileAgent, stream_id: int, opening: bytes) -> None:
    """Never answer."""


@contextlib.contextmanager
def hostile_agent(
    port: int, token: str = "", *, answer: Answer = say_nothing, reads: bool = True
) -> Iterator[HostileAgent]:
    """A connected agent.

    Args:
        port: where kas takes agents' WebSockets.
        token: what it greets with at once; without one it has not greeted yet.
        answer: what it does with each request, in the reader's thread.
        reads: whether it reads anything after the handshake.
    """
    agent = HostileAgent(port, answer)
    thread = threading.Thread(target=agent.read, daemon=True)
    try:
        agent.upgrade()
        if token:
            agent.greet(token)
        if reads:
            thread.start()
        yield agent
    finally:
        agent.end()
        if reads:
            thread.join(10)
