"""The other end of a tunnel's WebSocket, in memory: speaks the real protocol and writes down what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from websockets.utils import apply_mask

from kasbah.wire.native_tunnel.connection import TunnelConnection
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode, KasHello
from kasbah.wire.native_tunnel.tunnel_stream import TunnelStream
from kasbah.wire.stream import StreamHandler, StreamKind
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.tunnel_pair import RecordingHandler, Said


class FarEnd(TunnelConnection):
    """Kas for a test of agentk, an agent for a test of kas.

    Attributes:
        heard: the connection's events, in order.
        opened: the streams the near end has opened.
    """

    def __init__(self, role: Role) -> None:
        self.transport = FakeTransport()
        self.heard: list[Said] = []
        self.opened: list[tuple[bytes, TunnelStream, RecordingHandler]] = []
        self._soon: list[Callable[[], None]] = []
        self._told_near = False
        super().__init__(
            role, self.transport, self._soon.append, unmask=_unmask if role is Role.KAS else None
        )

    def hello_received(self, hello: AgentHello) -> None:
        self.heard.append(("hello", hello.token))

    def accepted(self, hello: KasHello) -> None:
        self.heard.append(("accepted", hello.agent_id))

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        handler = RecordingHandler(stream)
        self.opened.append((opening, stream, handler))
        return handler

    def go_away_received(self, code: GoAwayCode, message: str) -> None:
        self.heard.append(("go away", (code, message)))

    async def talk(self, near: asyncio.Protocol, transport: FakeTransport) -> None:
        """Carry bytes both ways until both have said all; the near end's transport is `transport`."""
        for _ in range(5):
            await asyncio.sleep(0)
            while self._soon:
                self._soon.pop(0)()
            if data := transport.take():
                self.data_received(data)
            if data := self.transport.take():
                near.data_received(data)
        if (transport.is_closing() or self.transport.is_closing()) and not self._told_near:
            self._told_near = True
            near.connection_lost(None)
            self.connection_lost(None)


def _unmask(data: bytes | memoryview, key: bytes) -> bytes:
    return bytes(apply_mask(data, key))
