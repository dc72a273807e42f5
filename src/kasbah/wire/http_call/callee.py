"""agentk's end of an HTTP exchange: a call of `KubernetesApi/MakeRequest` that looks like a stream kas has opened."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError

from kasbah.wire import bytes_arm
from kasbah.wire.http_call import request, response, statuses
from kasbah.wire.http_call.automaton import HTTP_REQUEST
from kasbah.wire.http_call.half import DATA, TRAILER, UPGRADE_DATA, HttpHalf, impossible
from kasbah.wire.http_call.request import UNKNOWN_LENGTH
from kasbah.wire.http_call.response import SWITCHING
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.rpc import Call, RpcError, StatusCode
from kasbah.wire.stream import Stream, StreamHandler, StreamKind


class HttpCallee(HttpHalf):
    """Handler of the call, stream of whoever answers."""

    __slots__ = ("_accept", "_agent_id", "_handler", "_heard_all", "_left", "_switched", "_upgrade")

    def __init__(
        self,
        call: Call,
        accept: Callable[[StreamKind, bytes, Stream], StreamHandler],
        agent_id: Callable[[], int | None],
    ) -> None:
        super().__init__(HTTP_REQUEST)
        self._call = call
        self._accept = accept
        self._agent_id = agent_id
        self._handler: StreamHandler | None = None
        self._heard_all = False
        self._left = 0
        self._upgrade = ""
        self._switched = False

    # -- the stream ----------------------------------------------------------------------------------------------

    def send_head(self, head: bytes) -> None:
        """Say the answer's head; a 101 is complete with it, and a pipe from then on."""
        if self._over:
            return
        answer = response.message_of(head, self._upgrade)
        self._call.send(answer.data)
        if answer.status == SWITCHING:
            self._switched = True
            self._sends = UPGRADE_DATA
            self._call.send(TRAILER)

    def end(self) -> None:
        """The answer is complete, and with it the call: nobody reads what the caller would still say."""
        if self._said_all or self._over:
            return
        self._said_all = self._over = True
        if not self._switched:
            self._call.send(TRAILER)
        self._call.end()
        if self._switched and not self._heard_all and self._handler is not None:
            self._handler.ended()

    def reset(self, code: int, message: str = "") -> None:
        """End the call with what went wrong."""
        if not self._over:
            self._over = True
            self._call.fail(*statuses.status_of(code, message))

    # -- the call ------------------------------------------------------------------------------------------------

    def message_received(self, message: bytes) -> None:
        if self._over:
            return
        try:
            if self._handler is None:
                self._head_received(message)
            elif (data := bytes_arm.unwrap(DATA, message)) is not None:
                self._data_received(message, data)
            elif (data := bytes_arm.unwrap(UPGRADE_DATA, message)) is not None:
                self._upgrade_data_received(message, data)
            else:
                self._read(message)
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
        self._heard_all = True
        if self._upgrade and self._handler is not None:
            self._handler.ended()

    def failed(self, code: StatusCode, message: str) -> None:
        if self._over:
            return
        self._over = True
        if self._handler is not None:
            self._handler.reset(*statuses.reset_of(code, message))

    def writable(self) -> None:
        if not self._over and self._handler is not None:
            self._handler.writable()

    # -- what kas says -------------------------------------------------------------------------------------------

    def _head_received(self, message: bytes) -> None:
        agent_id = self._agent_id()
        if agent_id is None:
            raise RpcError(
                StatusCode.UNAVAILABLE, f"{statuses.PREFIX}the agent does not know yet which one it is"
            )
        asked = request.opening_of(message, agent_id)
        self._walk.step("header")
        self._call.consumed(len(message))
        self._upgrade = asked.upgrade
        self._left = asked.content_length
        self._handler = self._accept(StreamKind.KUBERNETES_API, asked.opening, self)

    def _data_received(self, message: bytes, data: bytes) -> None:
        self._walk.step("data")
        if self._left != UNKNOWN_LENGTH and data:
            if not self._left:
                raise impossible("a body, or more of it, after all of it was said")
            if len(data) > self._left:
                raise RpcError(StatusCode.INVALID_ARGUMENT, "more body than the header declares")
            self._left -= len(data)
        self._deliver(message, data)

    def _upgrade_data_received(self, message: bytes, data: bytes) -> None:
        self._walk.step("upgradeData")
        if not self._switched:
            raise impossible("upgradeData in an exchange that has not switched protocols")
        self._deliver(message, data)

    def _deliver(self, message: bytes, data: bytes) -> None:
        self._owe(message, data)
        if data and self._handler is not None:
            self._handler.data_received(data)

    def _read(self, message: bytes) -> None:
        try:
            parsed = HttpRequest.FromString(message)
        except DecodeError as error:
            raise RpcError(StatusCode.INVALID_ARGUMENT, f"not an HttpRequest: {error}") from error
        arm = parsed.WhichOneof("message")
        if arm == "data":
            self._data_received(message, parsed.data.data)
        elif arm == "upgradeData":
            self._upgrade_data_received(message, parsed.upgradeData.data)
        else:
            self._walk.step(arm)
            self._call.consumed(len(message))
            if not self._upgrade and self._handler is not None:
                self._handler.ended()

    def _broken(self, error: RpcError) -> None:
        self._over = True
        self._call.fail(error.code, str(error))
        if self._handler is not None:
            self._handler.reset(*statuses.reset_of(error.code, str(error)))
