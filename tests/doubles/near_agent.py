"""An agent in this process: both ends of a native tunnel, whose bytes are carried at the end of each turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kasbah.wire.native_tunnel.engine import NativeTunnel, Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode, KasHello
from kasbah.wire.native_tunnel.tunnel_stream import TunnelStream
from kasbah.wire.stream import Stream, StreamHandler, StreamKind

Acceptor = Callable[[StreamKind, bytes, Stream], StreamHandler]


class _End:
    def __init__(self, role: Role, acceptor: Acceptor | None) -> None:
        self.tunnel = NativeTunnel(role, self, greeted=True)
        self.acceptor = acceptor
        self.peer: _End | None = None

    def flush_wanted(self) -> None:
        asyncio.get_running_loop().call_soon(self.carry)

    def carry(self) -> None:
        while self.peer is not None and self.tunnel.has_output:
            for piece in self.tunnel.take(1 << 20):
                self.peer.tunnel.receive(piece)

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        assert self.acceptor is not None
        return self.acceptor(kind, opening, stream)

    def hello_received(self, hello: AgentHello) -> None: ...

    def accepted(self, hello: KasHello) -> None: ...

    def go_away_received(self, code: GoAwayCode, message: str) -> None: ...

    def finished(self) -> None: ...


class NearAgent:
    """`tunnel` is kas' end: add it to a registry."""

    def __init__(self, acceptor: Acceptor | None = None) -> None:
        kas, agent = _End(Role.KAS, None), _End(Role.AGENT, acceptor or Echo.accept)
        kas.peer, agent.peer = agent, kas
        self._ends = (kas, agent)
        self.tunnel = kas.tunnel

    def cut(self) -> None:
        """The connection is lost."""
        for end in self._ends:
            end.tunnel.connection_lost("cut")
            end.peer = None


class Echo:
    """agentk's handler of a stream: says the opening as its head, and everything back."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.reset_with: int | None = None
        self._owed = 0

    @classmethod
    def accept(cls, kind: StreamKind, opening: bytes, stream: Stream) -> StreamHandler:
        stream.send_head(opening)
        return cls(stream)

    def head_received(self, head: bytes) -> None: ...

    def data_received(self, data: bytes) -> None:
        if self.stream.send(data):
            self.stream.consumed(len(data))
        else:
            self._owed += len(data)

    def ended(self) -> None:
        self.stream.end()

    def reset(self, code: int, message: str) -> None:
        self.reset_with = code

    def writable(self) -> None:
        owed, self._owed = self._owed, 0
        self.stream.consumed(owed)


class Asker:
    """kas' side of one request: what it was answered."""

    def __init__(self, *, slow: bool = False) -> None:
        self.stream: Stream | None = None
        self.slow = slow
        self.head = b""
        self.received = 0
        self.over: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """None when the answer ended well, or the code of a reset."""
        self.got_head = asyncio.Event()
        self.may_go_on = asyncio.Event()

    def head_received(self, head: bytes) -> None:
        self.head = head
        self.got_head.set()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.slow and self.stream is not None:
            self.stream.consumed(len(data))

    def ended(self) -> None:
        self.over.set_result(None)

    def reset(self, code: int, message: str) -> None:
        self.over.set_result(code)

    def writable(self) -> None:
        self.may_go_on.set()

    async def say(self, data: bytes) -> None:
        """Send it as the stream takes it."""
        assert self.stream is not None
        for start in range(0, len(data), 65536):
            self.may_go_on.clear()
            if not self.stream.send(data[start : start + 65536]):
                await self.may_go_on.wait()
