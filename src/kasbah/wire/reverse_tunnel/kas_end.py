"""kas' end of one tunnel: waits idle until a call is to be carried, carries exactly that one, and is used up.

Towards the agent it answers the call `Connect`; towards whoever has something to ask it is the carried call itself.
Whatever the agent says after the carried call is over reaches nobody, so it cannot answer anyone else's call.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from kasbah.wire import bytes_arm
from kasbah.wire.automaton import Walk
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    CloseSend,
    ConnectRequest,
    ConnectResponse,
    RequestInfo,
)
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import Error as TunnelError
from kasbah.wire.reverse_tunnel.automaton import CONNECT_REQUEST
from kasbah.wire.reverse_tunnel.descriptor import MAX_DESCRIPTOR_BYTES, served_paths
from kasbah.wire.reverse_tunnel.metadata import forwarded
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, RpcError, StatusCode

_HEARD: Final = bytes_arm.tag(ConnectRequest.MESSAGE_FIELD_NUMBER)
_SAID: Final = bytes_arm.tag(ConnectResponse.MESSAGE_FIELD_NUMBER)
_CLOSE_SEND: Final = ConnectResponse(close_send=CloseSend()).SerializeToString()
_MAX_ERROR_TEXT = 1024
_STATUS_CODES: Final = frozenset(StatusCode) - {StatusCode.OK}


class KasEndOwner(Protocol):
    """Who keeps the tunnels."""

    def tunnel_ready(self, end: KasEnd) -> None:
        """The agent has said what it serves; the tunnel is idle."""

    def tunnel_over(self, end: KasEnd) -> None:
        """Nothing more happens in this tunnel, used or not. Said once, of each."""


class KasEnd:
    """Handler of the call `Connect`, and the call that it carries."""

    __slots__ = ("_begun", "_call", "_debt", "_handler", "_over", "_owner", "_paths", "_said_all", "_walk")

    def __init__(self, call: Call, owner: KasEndOwner) -> None:
        self._call = call
        self._owner = owner
        self._walk = Walk(CONNECT_REQUEST)
        self._paths: frozenset[str] = frozenset()
        self._handler: CallHandler = NOBODY
        self._begun = False
        self._said_all = False
        self._over = False
        self._debt = 0
        """Bytes of the messages' wrapping that are owed to `Call.consumed`."""

    # -- for whoever keeps it ------------------------------------------------------------------------------------

    def serves(self, path: str) -> bool:
        """Whether the agent serves this method."""
        return path in self._paths

    def begin(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        """Carry a call: uses the tunnel up. Of the metadata only what belongs to a trace reaches the agent.

        Raises:
            RpcError: UNAVAILABLE: the tunnel is not idle.
        """
        if self._begun or self._over or not self._paths:
            raise RpcError(StatusCode.UNAVAILABLE, "the tunnel is not idle any more")
        self._begun = True
        self._handler = handler
        self._call.send(_request_info(path, metadata))
        return self

    def release(self) -> None:
        """Let the agent open another tunnel elsewhere: an idle one ends with OK, a used one runs on."""
        if not self._begun and not self._over:
            self._call.end()
            self._finish()

    # -- the call that is carried --------------------------------------------------------------------------------

    def send(self, message: bytes) -> bool:
        if self._handler is NOBODY or self._said_all:
            return True
        return self._call.send(bytes_arm.wrap(_SAID, message))

    def end(self) -> None:
        if self._handler is not NOBODY and not self._said_all:
            self._said_all = True
            self._call.send(_CLOSE_SEND)

    def fail(self, code: StatusCode, message: str = "") -> None:
        """The caller gives up, and the tunnel with it."""
        if self._handler is not NOBODY:
            self._handler = NOBODY
            self._call.fail(StatusCode.CANCELLED, message or f"the caller gave up: {code.name}")
            self._finish()

    def consumed(self, size: int) -> None:
        debt, self._debt = self._debt, 0
        self._call.consumed(size + debt)

    # -- the call `Connect` --------------------------------------------------------------------------------------

    def message_received(self, message: bytes) -> None:
        if self._over:
            return
        try:
            data = bytes_arm.unwrap(_HEARD, message)
            if data is None:
                self._read(message)
            else:
                self._walk.step("message")
                self._carry(len(message), data)
        except RpcError as error:
            self._broken(error)

    def ended(self) -> None:
        if self._over:
            return
        try:
            self._walk.end()
        except RpcError as error:
            self._broken(error)
            return
        handler, self._handler = self._handler, NOBODY
        self._call.fail(StatusCode.OK)  # with what of an upload still waits: nobody would count it any more
        handler.ended()
        self._finish()

    def failed(self, code: StatusCode, message: str) -> None:
        if self._over:
            return
        self._tell(code, message)
        self._finish()

    def writable(self) -> None:
        self._handler.writable()

    # -- what the agent says -------------------------------------------------------------------------------------

    def _read(self, message: bytes) -> None:
        if len(message) > MAX_DESCRIPTOR_BYTES and message[0] != _HEARD:
            raise RpcError(
                StatusCode.INVALID_ARGUMENT, f"what is no data is over {MAX_DESCRIPTOR_BYTES} bytes long"
            )
        try:
            request = ConnectRequest.FromString(message)
        except DecodeError as error:
            raise RpcError(StatusCode.INVALID_ARGUMENT, f"not a ConnectRequest: {error}") from error
        arm = request.WhichOneof("msg")
        self._walk.step(arm)
        if arm == "message":
            self._carry(len(message), request.message.data)
            return
        self._call.consumed(len(message))
        if arm == "descriptor":
            self._paths = served_paths(request.descriptor)
            self._owner.tunnel_ready(self)
        elif not self._begun:
            raise RpcError(StatusCode.INTERNAL, f"{arm} in a tunnel that carries no call")
        elif arm == "error":
            self._tell(*_error(request.error))
        # The metadata of `header` and `trailer` is the agent's word and goes nowhere.

    def _carry(self, size: int, data: bytes) -> None:
        if data:
            self._debt += size - len(data)
        else:
            self._call.consumed(size)
        self._handler.message_received(data)

    # -- ends ----------------------------------------------------------------------------------------------------

    def _tell(self, code: StatusCode, message: str) -> None:
        """The carried call is over with this status; what the agent says from now on is read and ignored."""
        handler, self._handler = self._handler, NOBODY
        handler.failed(code, message)

    def _broken(self, error: RpcError) -> None:
        self._call.fail(error.code, str(error))
        self._tell(error.code, str(error))
        self._finish()

    def _finish(self) -> None:
        self._over = True
        self._owner.tunnel_over(self)


def _error(error: TunnelError) -> tuple[StatusCode, str]:
    if not error.HasField("status"):
        raise RpcError(StatusCode.INVALID_ARGUMENT, "an error without a status")
    code = error.status.code
    known = StatusCode(code) if code in _STATUS_CODES else StatusCode.UNKNOWN
    return known, error.status.message[:_MAX_ERROR_TEXT]


@lru_cache(maxsize=64)
def _request_info(path: str, metadata: Metadata) -> bytes:
    meta = forwarded(metadata)
    return ConnectResponse(request_info=RequestInfo(method_name=path, meta=meta)).SerializeToString()
