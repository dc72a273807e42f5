"""Calls on streams of the native tunnel: the opening is the method's path, the data are messages as gRPC frames them.

The end of a direction is its END. A status other than OK is a reset with code 1000 + status; any other reset means that
the stream, and so the call, could not be carried. Heads and metadata are not used. A message may be longer than the
stream's window: what has come of it is taken off the window while the rest is awaited, and given back when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable

from kasbah.errors import PeerError
from kasbah.wire.native_tunnel.engine import NativeTunnel
from kasbah.wire.rpc import (
    MAX_MESSAGE_BYTES,
    NOBODY,
    PREFIX_SIZE,
    RESET_CODE_BASE,
    Call,
    CallHandler,
    MessageReader,
    RpcError,
    StatusCode,
    prefixed,
)
from kasbah.wire.stream import ResetCode, Stream, StreamClass, StreamHandler, StreamKind


def open_call(tunnel: NativeTunnel, path: str, handler: CallHandler) -> Call:
    """Make a call on this tunnel.

    Raises:
        RpcError: UNAVAILABLE: the tunnel takes no new streams.
    """
    call = MadeCall(MAX_MESSAGE_BYTES)
    try:
        stream = tunnel.open_stream(StreamKind.RPC, path.encode(), call, stream_class=StreamClass.WATCH)
    except PeerError as error:
        raise RpcError(StatusCode.UNAVAILABLE, str(error)) from error
    call.begin(stream, handler)
    return call


def answer_call(
    stream: Stream, accept: Callable[[Call], CallHandler], max_message_bytes: int = MAX_MESSAGE_BYTES
) -> StreamHandler:
    """Answer a call that a stream has opened; `accept` may end it at once.

    `max_message_bytes` is what is collected of one request; a longer one ends the call.
    """
    call = AnsweredCall(max_message_bytes)
    call.begin(stream, NOBODY)
    call.begin(stream, accept(call))
    return call


class _TunnelCall:
    """What both ends of a call do alike: implements `Call` above and `StreamHandler` below."""

    _stream: Stream  # there from `begin` on, which is before any callback

    def __init__(self, max_message_bytes: int) -> None:
        self._reader = MessageReader(max_message_bytes)
        self._handler: CallHandler = NOBODY
        self._over = False
        self._received = 0
        self._held = 0
        self._given_back = 0

    def begin(self, stream: Stream, handler: CallHandler) -> None:
        """From now on messages go to the handler."""
        self._stream = stream
        if not self._over:
            self._handler = handler

    # -- the call ------------------------------------------------------------------------------------------------

    def send(self, message: bytes) -> bool:
        return self._over or self._stream.send(prefixed(message))

    def end(self) -> None:
        if not self._over:
            self._stream.end()

    def fail(self, code: StatusCode, message: str = "") -> None:
        raise NotImplementedError

    def consumed(self, size: int) -> None:
        self._held = max(0, self._held - size - PREFIX_SIZE)
        self._give_back()

    # -- the stream ----------------------------------------------------------------------------------------------

    def head_received(self, head: bytes) -> None:
        """Calls have no heads."""

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._received += len(data)
        try:
            messages = self._reader.receive(data)
        except RpcError as error:
            self._broken(error)
            return
        self._held += sum(map(len, messages)) + PREFIX_SIZE * len(messages)
        self._give_back()
        for message in messages:
            self._handler.message_received(message)

    def ended(self) -> None:
        if self._reader.is_empty or self._over:
            self._all_said()
        else:
            self._broken(RpcError(StatusCode.INTERNAL, "the call ended within a message"))

    def reset(self, code: int, message: str) -> None:
        self._leave().failed(_status(code), message)

    def writable(self) -> None:
        self._handler.writable()

    def _all_said(self) -> None:
        self._handler.ended()

    def _broken(self, error: RpcError) -> None:
        """The other side broke the framing: tell both."""
        handler = self._handler
        self.fail(error.code, str(error))
        handler.failed(error.code, str(error))

    def _leave(self) -> CallHandler:
        """The call is over: who may be told so."""
        self._over = True
        handler, self._handler = self._handler, NOBODY
        return handler

    def _give_back(self) -> None:
        """Open the window by all that has come and is not held above: a message that is not whole, too."""
        room = self._received - self._held - self._given_back
        if room > 0:
            self._given_back += room
            self._stream.consumed(room)


class MadeCall(_TunnelCall):
    """The caller's end."""

    _said_all = False

    def end(self) -> None:
        self._said_all = True
        super().end()

    def fail(self, code: StatusCode, message: str = "") -> None:  # noqa: ARG002 - nobody is there to read a status
        if not self._over:
            self._leave()
            self._stream.reset(ResetCode.CANCELLED, message)

    def _all_said(self) -> None:
        handler = self._leave()
        if not self._said_all:
            self._stream.reset(ResetCode.CANCELLED)  # nobody hears the rest of what we would have said
        handler.ended()


class AnsweredCall(_TunnelCall):
    """The answerer's end."""

    def end(self) -> None:
        super().end()
        self._leave()

    def fail(self, code: StatusCode, message: str = "") -> None:
        if not self._over:
            self._leave()
            self._stream.reset(RESET_CODE_BASE + code, message)


def _status(code: int) -> StatusCode:
    if code < RESET_CODE_BASE:
        return StatusCode.UNAVAILABLE
    try:
        return StatusCode(code - RESET_CODE_BASE)
    except ValueError:
        return StatusCode.UNKNOWN
