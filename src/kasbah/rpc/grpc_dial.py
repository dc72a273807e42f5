"""Dials a gRPC server when somebody wants to call it, and keeps the one connection as long as it is good.

A connection that is lost or full, or whose server asked us to go, is replaced at the next call, and looked after until
its last call is over; nothing is dialled ahead. What every call carries (a token, say) is asked for anew for each.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

from kasbah.errors import UserError
from kasbah.rpc.client import Caller
from kasbah.wire.grpc.connection import GrpcConnection
from kasbah.wire.grpc.engine import GrpcRole
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.rpc import Call, CallHandler, Metadata, RpcError, StatusCode

_TICK_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcAddress:
    """Where a gRPC server is."""

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """As requests name the server."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'grpcs' if self.tls else 'grpc'}://{self.authority}"


def parse_grpc_address(text: str) -> GrpcAddress:
    """Read `grpc://HOST:PORT` or `grpcs://HOST:PORT`.

    Raises:
        UserError: it is neither.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"grpc", "grpcs"} or not host or not port or rest:
        raise UserError(f"{text!r} is not grpc://HOST:PORT or grpcs://HOST:PORT")
    return GrpcAddress(host=host, port=port, tls=parts.scheme == "grpcs")


class GrpcDial:
    """The way to one server; `caller` is what a `CallClient` waits for. `run` it while calls are made.

    Args:
        address: where it is.
        context: for `grpcs`, with whom to trust; HTTP/2 is asked for on it.
        user_agent: who we are.
        metadata: what a call carries; asked for each.
    """

    def __init__(
        self,
        address: GrpcAddress,
        context: ssl.SSLContext | None,
        *,
        user_agent: str,
        metadata: Callable[[], Metadata] = tuple,
        limits: GrpcLimits | None = None,
    ) -> None:
        self.metadata = metadata
        self._address = address
        self._context = context if address.tls else None
        if self._context is not None:
            self._context.set_alpn_protocols(["h2"])
        self._user_agent = user_agent
        self._limits = limits
        self._connection: _Connection | None = None
        self._open: set[_Connection] = set()
        """With those that were replaced and still carry calls."""
        self._dialling = asyncio.Lock()

    async def run(self) -> None:
        """Watch over the connections until cancelled; then close them."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                for connection in list(self._open):
                    connection.tick(loop.time())
        finally:
            for connection in list(self._open):
                connection.close("shutting down")

    async def caller(self) -> Caller:
        """The connection, dialled when there is none; how long that may take is the caller's business.

        Raises:
            RpcError: UNAVAILABLE, the server cannot be reached.
        """
        async with self._dialling:  # who comes meanwhile wants the same connection, and waits for it
            connection = self._connection
            if connection is None or not connection.engine.can_open:
                if connection is not None:
                    connection.engine.go_away("replaced")
                connection = self._connection = await self._dial()
            return _Carrier(connection, self.metadata)

    async def _dial(self) -> _Connection:
        address = self._address
        try:
            _, dialled = await asyncio.get_running_loop().create_connection(
                lambda: _Dialled(self._open, address, self._user_agent, self._limits),
                address.host,
                address.port,
                ssl=self._context,
                server_hostname=address.host if self._context else None,
            )
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            raise RpcError(StatusCode.UNAVAILABLE, f"{address} cannot be reached: {why}") from error
        return dialled.connection


class _Dialled(asyncio.Protocol):
    """Has the socket for a moment: the server may speak first, and must find the connection's protocol there."""

    connection: _Connection

    def __init__(
        self, among: set[_Connection], address: GrpcAddress, user_agent: str, limits: GrpcLimits | None
    ) -> None:
        self._make = (among, address, user_agent, limits)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = self.connection = _Connection(cast("asyncio.Transport", transport), *self._make)
        transport.set_protocol(made)


class _Connection(GrpcConnection, asyncio.Protocol):
    """One of the dial's connections, `among` them as long as its socket lives."""

    def __init__(
        self,
        transport: asyncio.Transport,
        among: set[_Connection],
        address: GrpcAddress,
        user_agent: str,
        limits: GrpcLimits | None,
    ) -> None:
        super().__init__(
            GrpcRole.CLIENT,
            transport,
            asyncio.get_running_loop().call_soon,
            websocket=False,
            authority=address.authority,
            scheme="https" if address.tls else "http",
            user_agent=user_agent,
            limits=limits,
        )
        self._among = among
        among.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._among.discard(self)
        super().connection_lost(error)

    def going_away(self) -> None:
        """The engine opens no more calls; that is how it is noticed."""


class _Carrier:
    """The connection, as a `Caller` that adds what every call carries."""

    def __init__(self, connection: _Connection, metadata: Callable[[], Metadata]) -> None:
        self._connection = connection
        self._metadata = metadata

    def open_call(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        return self._connection.engine.open_call(path, handler, (*self._metadata(), *metadata))
