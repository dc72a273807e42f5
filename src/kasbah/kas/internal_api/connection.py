"""One connection to the internal API: the socket's protocol, which lets each call in by its token."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from prometheus_client import Counter

from kasbah.kit.jwt import JwtError
from kasbah.wire.grpc.connection import GrpcConnection
from kasbah.wire.grpc.engine import GrpcRole
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, StatusCode

_log = structlog.get_logger()
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""GitLab's limit on this address; elsewhere it is half of that."""
STRANGERS_REFUSALS: Final = 100
"""Calls of a stranger that may be cut or refused in ten seconds."""
_LIMITS: Final = GrpcLimits(max_calls=100, max_message_bytes=MAX_MESSAGE_BYTES)
_STRANGERS_LIMITS: Final = dataclasses.replace(_LIMITS, max_resets=STRANGERS_REFUSALS)
_refused: Final = Counter(
    "kasbah_kas_internal_api_refused", "Calls to the internal API without a token that we take"
)


class ConnectionOwner(Protocol):
    """The server, as a connection sees it."""

    def check_caller(self, metadata: Metadata) -> None:
        """Raises JwtError unless the call may be made."""

    def answer(self, path: str, call: Call, connection: InternalApiConnection) -> CallHandler:
        """Begin the call."""

    def lost(self, connection: InternalApiConnection) -> None:
        """It is over."""


class InternalApiConnection(GrpcConnection, asyncio.Protocol):
    """From the preface to the end.

    Attributes:
        peer: the socket's address, for logs.
        authenticated: whether a call on it was let in.
    """

    def __init__(
        self,
        owner: ConnectionOwner,
        transport: asyncio.Transport,
        *,
        peer: str,
        known: Callable[[], None] = lambda: None,
    ) -> None:
        """`known` is called when a call was let in, or all is over: until then it is a stranger's connection."""
        super().__init__(
            GrpcRole.SERVER,
            transport,
            asyncio.get_running_loop().call_soon,
            websocket=False,
            limits=_STRANGERS_LIMITS,
        )
        self.peer = peer
        self.authenticated = False
        self._owner = owner
        self._known = known

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        try:
            self._owner.check_caller(metadata)
        except JwtError as error:
            _refused.inc()
            _log.info("internal call refused", peer=self.peer, reason=str(error))
            call.fail(StatusCode.UNAUTHENTICATED, "JWT validation failed")
            return NOBODY
        if not self.authenticated:
            self.authenticated = True
            self.engine.limits = _LIMITS
            self._known()
        return self._owner.answer(path, call, self)

    def going_away(self) -> None:
        """The caller opens no new calls; it closes the connection when it likes."""

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if not self.authenticated:
            self._known()
        self._owner.lost(self)
