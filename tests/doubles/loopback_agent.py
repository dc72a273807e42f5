"""An agent in memory: streams opened to it are answered by the test, callback by callback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.reverse_tunnel.registry import Waiter
from kasbah.wire.kubernetes_api import RequestEnvelope, decode_opening
from kasbah.wire.stream import StreamClass, StreamHandler


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until this holds; a few seconds at most."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("what the test waits for did not happen")


@dataclass(eq=False)
class LoopbackStream:
    """kas's end of one stream, and the words the agent puts into it."""

    stream_id: int
    opening: bytes
    stream_class: StreamClass
    handler: StreamHandler
    window: int = 256 * 1024
    body: bytes = b""
    request_ended: bool = False
    reset_with: tuple[int, str] | None = None
    in_flight: int = 0
    full: bool = False

    # What kas orders.

    def send_head(self, head: bytes) -> None:
        raise AssertionError("kas sends no second head")

    def send(self, data: bytes) -> bool:
        self.body += data
        return not self.full

    def end(self) -> None:
        self.request_ended = True

    def reset(self, code: int, message: str = "") -> None:
        self.reset_with = self.reset_with or (int(code), message)

    def consumed(self, count: int) -> None:
        self.in_flight -= count

    # What the agent says.

    @property
    def envelope(self) -> RequestEnvelope:
        return decode_opening(self.opening)[0]

    @property
    def request_head(self) -> bytes:
        return decode_opening(self.opening)[1]

    def say_head(self, head: bytes) -> None:
        self.handler.head_received(head)

    def say(self, data: bytes) -> bool:
        """False: the window is full, nothing was said."""
        if self.in_flight + len(data) > self.window:
            return False
        self.in_flight += len(data)
        self.handler.data_received(data)
        return True

    def say_end(self) -> None:
        self.handler.ended()

    def say_reset(self, code: int, message: str = "") -> None:
        self.handler.reset(code, message)

    def answer(self, body: bytes = b"{}", *, status: bytes = b"200 OK", headers: bytes = b"") -> None:
        """A whole answer at once."""
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
        self.say_head(head % (status, len(body), headers))
        self.say(body)
        self.say_end()


@dataclass
class LoopbackAgent:
    """The `Tunnels` of the proxy, with one agent behind them."""

    connected: bool = True
    on_stream: Callable[[LoopbackStream], None] | None = None
    """Called soon after each opening, as from the loop."""
    streams: list[LoopbackStream] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[Waiter] = field(default_factory=list)
    busy: bool = False
    """Connected, and everything in use."""
    gone_s: float = 3600.0
    """How long it has been away when it is."""

    def open_nowait(
        self, grant: Grant, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> LoopbackStream | None:
        if not self.connected:
            return None
        stream = LoopbackStream(len(self.streams) + 1, opening, stream_class, handler)
        self.streams.append(stream)
        self.opened.set()
        if self.on_stream is not None:
            asyncio.get_running_loop().call_soon(self.on_stream, stream)
        return stream

    def wait(self, agent_id: int, waiter: Waiter) -> None:
        self.waiting.append(waiter)

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None:
        if waiter in self.waiting:
            self.waiting.remove(waiter)

    def is_busy(self, agent_id: int) -> bool:
        return self.busy

    def away_s(self, agent_id: int) -> float:
        return 0.0 if self.connected else self.gone_s

    def connect(self) -> None:
        """The agent comes (back), or a tunnel of it comes free."""
        self.connected = True
        while self.waiting:
            self.waiting.pop(0).tunnel_ready()
