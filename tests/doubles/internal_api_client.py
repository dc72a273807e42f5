"""A caller of the internal API without a socket: its gRPC engine, joined to the server's connection by hand."""

from __future__ import annotations

import asyncio

from kasbah.kas.http_server.exchange import Upgrade
from kasbah.kas.internal_api.server import InternalApi
from kasbah.wire.grpc.engine import GrpcRole
from kasbah.wire.rpc import Metadata
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.grpc_pair import GrpcEnd, RecordingCallHandler


class InternalApiClient:
    """One connection; `pump` carries bytes until nobody has more to say."""

    def __init__(self, api: InternalApi, *, since: float = 0.0) -> None:
        self.known = 0
        self.transport = FakeTransport()
        self.end = GrpcEnd(GrpcRole.CLIENT, authority="kas")
        upgrade = Upgrade(self.transport, self.end.engine.take(1 << 20), since=since, known=self._is_known)
        api.accept(upgrade)

    async def call(self, path: str, request: bytes, metadata: Metadata) -> RecordingCallHandler:
        """Make a call and give it time to be answered."""
        call, handler = self.end.open(path, metadata)
        call.send(request)
        call.end()
        await self.pump()
        return handler

    async def pump(self) -> None:
        """Carry what there is to carry."""
        for _ in range(20):
            protocol = self.transport.protocol
            if isinstance(protocol, asyncio.Protocol) and self.end.engine.has_output:
                protocol.data_received(self.end.engine.take(1 << 20))
            await asyncio.sleep(0)
            self.end.engine.receive(self.transport.take())

    def lose(self) -> None:
        """The socket breaks."""
        assert isinstance(self.transport.protocol, asyncio.Protocol)
        self.transport.protocol.connection_lost(None)

    def _is_known(self) -> None:
        self.known += 1
