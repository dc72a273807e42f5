"""kas' end of an HTTP exchange: looks like a stream of the native tunnel, and is a call of `KubernetesApi/MakeRequest`."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError

from kasbah.wire import bytes_arm
from kasbah.wire.http_call import request, response, statuses
from kasbah.wire.http_call.automaton import HTTP_RESPONSE
from kasbah.wire.http_call.half import DATA, TRAILER, UPGRADE_DATA, HttpHalf, impossible
from kasbah.wire.http_call.response import SWITCHING
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpResponse
from kasbah.wire.rpc import Call, CallHandler, RpcError, StatusCode
from kasbah.wire.stream import Stream, StreamHandler


def open_http_call(begin: Callable[[CallHandler], Call], opening: bytes, handler: StreamHandler) -> Stream:
    """Send a request through a call that `begin` opens.

    Raises:
        PeerError: GitLab's wire cannot carry the request; nothing was opened.
    """
    caller = HttpCaller(handler, opening)
    caller.begin(begin(caller))
    return caller


class HttpCaller(HttpHalf):
    """Handler of the call, stream of whoever asks."""

    __slots__ = ("_answered", "_handler", "_request", "_switched")

    def __init__(self, handler: StreamHandler, opening: bytes) -> None:
        """Raises `PeerError` when GitLab's wire cannot carry the request."""
        super().__init__(HTTP_RESPONSE)
        self._handler = handler
        self._request = request.message_of(opening)
        self._answered = False
        self._switched = False

    def begin(self, call: Call) -> None:
        """Say the head. To ask for an upgrade is to have no body, and to leave the way open."""
        self._call = call
        call.send(self._request.message)
        if self._request.upgrade:
            self._sends = UPGRADE_DATA
            call.send(TRAILER)

    # -- the stream ----------------------------------------------------------------------------------------------

    def send_head(self, head: bytes) -> None:
        """The head was the opening."""

    def end(self) -> None:
        """The body is complete, or the pipe is closed from this side."""
        if self._said_all or self._over:
            return
        self._said_all = True
        if not self._request.upgrade:
            self._call.send(TRAILER)
        self._call.end()

    def reset(self, code: int, message: str = "") -> None:  # noqa: ARG002 - a caller can only give up
        """Give the exchange up."""
        if not self._over:
            self._over = True
            self._call.fail(StatusCode.CANCELLED, message)

    # -- the call ------------------------------------------------------------------------------------------------

    def message_received(self, message: bytes) -> None:
        if self._over:
            return
        try:
            if not self._answered:
                self._head_received(message)
            elif (data := bytes_arm.unwrap(DATA, message)) is not None:
                self._body_received("data", message, data)
            elif (data := bytes_arm.unwrap(UPGRADE_DATA, message)) is not None:
                self._body_received("upgradeData", message, data)
            else:
                self._read(message)
        except RpcError as error:
            self._over = True
            self._call.fail(error.code, str(error))
            self._handler.reset(*statuses.reset_of(error.code, str(error)))

    def ended(self) -> None:
        if self._over:
            return
        try:
            self._walk.end()
        except RpcError as error:
            self.failed(error.code, str(error))
            return
        self._over = True
        self._handler.ended()

    def failed(self, code: StatusCode, message: str) -> None:
        if not self._over:
            self._over = True
            self._handler.reset(*statuses.reset_of(code, message))

    def writable(self) -> None:
        if not self._over:
            self._handler.writable()

    def _head_received(self, message: bytes) -> None:
        answer = response.head_of(message)
        self._walk.step("header")
        self._answered = True
        self._call.consumed(len(message))
        if answer.status == SWITCHING:
            if not self._request.upgrade:
                raise impossible("a 101 to a request that asked for no upgrade")
            self._switched = True
        self._handler.head_received(answer.data)

    def _body_received(self, arm: str, message: bytes, data: bytes) -> None:
        self._walk.step(arm)
        if self._switched is (arm == "data"):
            raise impossible(
                f"{arm} in an exchange that {'has' if self._switched else 'has not'} switched protocols"
            )
        self._owe(message, data)
        if data:
            self._handler.data_received(data)

    def _read(self, message: bytes) -> None:
        try:
            parsed = HttpResponse.FromString(message)
        except DecodeError as error:
            raise RpcError(StatusCode.INVALID_ARGUMENT, f"not an HttpResponse: {error}") from error
        arm = parsed.WhichOneof("message")
        if arm == "data":
            self._body_received(arm, message, parsed.data.data)
        elif arm == "upgradeData":
            self._body_received(arm, message, parsed.upgradeData.data)
        else:
            self._walk.step(arm)
            self._call.consumed(len(message))
