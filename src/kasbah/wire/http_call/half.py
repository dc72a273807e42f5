"""What the two ends of an HTTP exchange do alike: bytes go out in pieces, and what was taken opens the call's window."""

from __future__ import annotations

from typing import Final

from kasbah.wire import bytes_arm
from kasbah.wire.automaton import Automaton, Walk
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.rpc import Call, RpcError, StatusCode

MAX_CHUNK_BYTES: Final = 32 * 1024
"""Of one message; peers written in Go read no more at once."""
# The two directions have the same arms under the same numbers.
DATA: Final = bytes_arm.tag(HttpRequest.DATA_FIELD_NUMBER)
UPGRADE_DATA: Final = bytes_arm.tag(HttpRequest.UPGRADEDATA_FIELD_NUMBER)
TRAILER: Final = HttpRequest(trailer=HttpRequest.Trailer()).SerializeToString()


class HttpHalf:
    """One end: implements the flow of `Stream` towards the inside."""

    __slots__ = ("_call", "_debt", "_over", "_said_all", "_sends", "_walk")

    _call: Call  # there before any order or callback

    def __init__(self, automaton: Automaton) -> None:
        self._walk = Walk(automaton)
        self._sends = DATA
        """The arm that holds what we send."""
        self._said_all = False
        self._over = False
        self._debt = 0
        """Bytes of the messages' wrapping that are owed to `Call.consumed`."""

    @property
    def stream_id(self) -> int:
        """A call has none."""
        return 0

    def send(self, data: bytes) -> bool:
        """Queue data; False: the call's queue is full."""
        if self._said_all or self._over or not data:
            return True
        if len(data) <= MAX_CHUNK_BYTES:
            return self._call.send(bytes_arm.wrap(self._sends, data))
        room = True
        for start in range(0, len(data), MAX_CHUNK_BYTES):
            room = self._call.send(bytes_arm.wrap(self._sends, data[start : start + MAX_CHUNK_BYTES]))
        return room

    def consumed(self, count: int) -> None:
        """That many received bytes have left the room inside."""
        debt, self._debt = self._debt, 0
        self._call.consumed(count + debt)

    def _owe(self, message: bytes, data: bytes) -> None:
        """Of this message only the data will be said to be consumed."""
        if data:
            self._debt += len(message) - len(data)
        else:
            self._call.consumed(len(message))


def impossible(what: str) -> RpcError:
    """The message is one the automaton allows and this exchange does not."""
    return RpcError(StatusCode.INTERNAL, what)
