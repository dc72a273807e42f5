"""A call of somebody of whom it is not known yet who they are: what they say is kept until somebody may hear it.

What strangers may make us keep is bounded for all calls of a connection together; more ends the call that says it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kasbah.wire.rpc import NOBODY, Call, CallHandler, StatusCode

_MESSAGE_COST: Final = 128
"""What keeping a message costs beside its bytes."""


class HeldBytes:
    """What one connection may make us keep."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = limit


class HeldCall:
    """Handler of the call, in front of the one that will answer it."""

    __slots__ = ("_call", "_ended", "_handler", "_held", "_messages", "_room", "_waiting", "path")

    def __init__(self, path: str, call: Call, waiting: dict[HeldCall, None], room: HeldBytes) -> None:
        """Stands in `waiting` until it is answered, refused or given up."""
        self.path = path
        self._call = call
        self._waiting = waiting
        self._room = room
        self._handler: CallHandler = NOBODY
        self._messages: list[bytes] = []
        self._ended = False
        self._held = True
        waiting[self] = None

    def answer(self, accept: Callable[[str, Call], CallHandler]) -> None:
        """Somebody hears what was said, and what will be."""
        messages = self._let_go()
        self._handler = accept(self.path, self._call)
        for message in messages:
            self._handler.message_received(message)
        if self._ended:
            self._handler.ended()

    def refuse(self, code: StatusCode, message: str) -> None:
        """Nobody will."""
        self._let_go()
        self._call.fail(code, message)

    # -- the call ------------------------------------------------------------------------------------------------

    def message_received(self, message: bytes) -> None:
        if not self._held:
            self._handler.message_received(message)
            return
        cost = len(message) + _MESSAGE_COST
        if cost > self._room.left:
            self.refuse(StatusCode.RESOURCE_EXHAUSTED, "too much was said before it is known who says it")
            return
        self._room.left -= cost
        self._messages.append(message)

    def ended(self) -> None:
        self._ended = True
        self._handler.ended()

    def failed(self, code: StatusCode, message: str) -> None:
        self._let_go()
        self._handler.failed(code, message)

    def writable(self) -> None:
        self._handler.writable()

    def _let_go(self) -> list[bytes]:
        messages, self._messages = self._messages, []
        self._held = False
        self._waiting.pop(self, None)
        self._room.left += sum(len(message) + _MESSAGE_COST for message in messages)
        return messages
