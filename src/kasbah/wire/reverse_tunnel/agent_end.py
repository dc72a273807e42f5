"""agentk's end of one tunnel: says what it serves, waits, answers the one call that comes, and is used up.

Towards kas it makes the call `Connect`; towards whoever answers it is the carried call itself. The end of the tunnel
without a word that the caller has said all is not the end of what the caller says: the call is broken off then.
"""

from __future__ import annotations

from typing import Final, Protocol

from google.protobuf.message import DecodeError

from kasbah.wire import bytes_arm
from kasbah.wire.automaton import Walk
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    ConnectRequest,
    ConnectResponse,
    Header,
    Status,
    Trailer,
)
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import Error as TunnelError
from kasbah.wire.reverse_tunnel.automaton import CONNECT_RESPONSE
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.reverse_tunnel.metadata import replayed
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, RpcError, StatusCode

_HEARD: Final = bytes_arm.tag(ConnectResponse.MESSAGE_FIELD_NUMBER)
_SAID: Final = bytes_arm.tag(ConnectRequest.MESSAGE_FIELD_NUMBER)
_HEADER: Final = ConnectRequest(header=Header()).SerializeToString()
_TRAILER: Final = ConnectRequest(trailer=Trailer()).SerializeToString()


class AgentEndOwner(Protocol):
    """Who keeps the tunnels."""

    def call_opened(self, end: AgentEnd, path: str, metadata: Metadata, call: Call) -> CallHandler:
        """There is a call to answer; the tunnel is in use. Whoever ends the call at once may return any handler."""

    def tunnel_over(self, end: AgentEnd, code: StatusCode, message: str, *, used: bool) -> None:
        """The tunnel has ended, so there may be another. Said once."""


class AgentEnd:
    """Handler of the call `Connect`, and the call that it carries."""

    __slots__ = (
        "_answered",
        "_call",
        "_carried",
        "_debt",
        "_handler",
        "_head_said",
        "_over",
        "_owner",
        "_used",
        "_walk",
    )

    _call: Call  # there from `start` on

    def __init__(self, owner: AgentEndOwner) -> None:
        self._owner = owner
        self._walk = Walk(CONNECT_RESPONSE)
        self._handler: CallHandler = NOBODY
        self._used = False
        self._head_said = False
        self._answered = False
        self._over = False
        self._debt = 0
        """Bytes of the messages' wrapping that are owed to `Call.consumed`."""
        self._carried = 0
        """Bytes of messages that the handler got and has not consumed, with their wrapping."""

    # -- for whoever keeps it ------------------------------------------------------------------------------------

    def start(self, call: Call) -> None:
        """Say what is served, on the call of which this is the handler."""
        self._call = call
        call.send(KUBERNETES_API_DESCRIPTOR)

    def abandon(self, message: str) -> None:
        """Give the tunnel up, and the call that it may carry."""
        if not self._over:
            self._call.fail(StatusCode.CANCELLED, message)
            self._finish(StatusCode.CANCELLED, message)

    # -- the call that is carried --------------------------------------------------------------------------------

    def send(self, message: bytes) -> bool:
        if self._answered or self._over:
            return True
        self._say_head()
        return self._call.send(bytes_arm.wrap(_SAID, message))

    def end(self) -> None:
        if not self._answered and not self._over:
            self._say_head()
            self._call.send(_TRAILER)
            self._say_all()

    def fail(self, code: StatusCode, message: str = "") -> None:
        if self._answered or self._over:
            return
        self._say_head()  # GitLab's kas passes no error on that comes without them
        self._call.send(_TRAILER)
        text = message.encode("utf-8", "replace").decode()
        error = TunnelError(status=Status(code=int(code), message=text))
        self._call.send(ConnectRequest(error=error).SerializeToString())
        self._say_all()

    def consumed(self, size: int) -> None:
        if not self._answered:  # then it was said already
            debt, self._debt = self._debt, 0
            self._carried -= size + debt
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
            self._call.fail(error.code, str(error))
            self._finish(error.code, str(error))

    def ended(self) -> None:
        if not self._over:
            self._finish(StatusCode.OK, "")

    def failed(self, code: StatusCode, message: str) -> None:
        if not self._over:
            self._finish(code, message)

    def writable(self) -> None:
        self._handler.writable()

    # -- what kas says -------------------------------------------------------------------------------------------

    def _read(self, message: bytes) -> None:
        try:
            response = ConnectResponse.FromString(message)
        except DecodeError as error:
            raise RpcError(StatusCode.INVALID_ARGUMENT, f"not a ConnectResponse: {error}") from error
        arm = response.WhichOneof("msg")
        self._walk.step(arm)
        if arm == "message":
            self._carry(len(message), response.message.data)
            return
        self._call.consumed(len(message))
        if arm == "close_send":
            self._handler.ended()
            return
        info = response.request_info
        self._used = True
        handler = self._owner.call_opened(self, info.method_name, replayed(info.meta), self)
        if not self._answered and not self._over:
            self._handler = handler

    def _carry(self, size: int, data: bytes) -> None:
        if data and self._handler is not NOBODY:
            self._debt += size - len(data)
            self._carried += size
        else:  # empty, or answered already and of no use
            self._call.consumed(size)
        self._handler.message_received(data)

    # -- what we say ---------------------------------------------------------------------------------------------

    def _say_head(self) -> None:
        if not self._head_said:
            self._head_said = True
            self._call.send(_HEADER)

    def _say_all(self) -> None:
        self._answered = True
        self._handler = NOBODY
        self._call.end()
        if self._carried:  # whoever has answered may have lost interest in it, and kas may have more to say
            self._call.consumed(self._carried)

    # -- ends ----------------------------------------------------------------------------------------------------

    def _finish(self, code: StatusCode, message: str) -> None:
        self._over = True
        handler, self._handler = self._handler, NOBODY
        handler.failed(code or StatusCode.CANCELLED, message or "kas ended the tunnel")
        self._owner.tunnel_over(self, code, message, used=self._used)
