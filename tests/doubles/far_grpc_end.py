"""An agent that speaks gRPC, in memory: the client's end of a connection, for a test of kas'."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kasbah.wire.grpc.connection import GrpcConnection
from kasbah.wire.grpc.engine import GrpcRole
from kasbah.wire.rpc import Call, Metadata
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.grpc_pair import RecordingCallHandler

AUTHORIZATION: Metadata = (("authorization", "Bearer glagent-t"),)


class FarGrpcEnd(GrpcConnection):
    """Calls kas, and writes down what it hears.

    Attributes:
        away: kas takes no new calls.
    """

    def __init__(self, *, websocket: bool = False) -> None:
        self.transport = FakeTransport()
        self.away = False
        self._soon: list[Callable[[], None]] = []
        self._told_near = False
        super().__init__(
            GrpcRole.CLIENT, self.transport, self._soon.append, websocket=websocket, authority="kas"
        )

    def going_away(self) -> None:
        self.away = True

    def call(
        self, path: str, *messages: bytes, metadata: Metadata = AUTHORIZATION, end: bool = True
    ) -> tuple[Call, RecordingCallHandler]:
        """Make a call and say these messages."""
        handler = RecordingCallHandler()
        handler.call = call = self.engine.open_call(path, handler, metadata)
        for message in messages:
            call.send(message)
        if end:
            call.end()
        return call, handler

    async def talk(self, near: asyncio.Protocol, transport: FakeTransport) -> None:
        """Carry bytes both ways until both have said all; the near end's transport is `transport`."""
        for _ in range(6):
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
