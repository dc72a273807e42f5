"""A call joined in memory: what one end orders the other hears when the pair is pumped, and no sooner.

Keeps the books of the windows: an end that consumes what it was not sent fails the test, and `owed` says what was sent
and not consumed, so that a test can ask for nothing to have leaked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from kasbah.wire.rpc import NOBODY, CallHandler, StatusCode

WINDOW = 256 * 1024


@dataclass
class PairedEnd:
    """One end of the call: a `Call` for whoever stands here, and the way to their handler."""

    answers: bool
    handler: CallHandler = NOBODY
    over: bool = False
    said_all: bool = False
    queue: deque[tuple[str, bytes, StatusCode]] = field(default_factory=deque)
    queued: int = 0
    owed: int = 0
    """Bytes heard here and not yet consumed."""
    wants_writable: bool = False

    def send(self, message: bytes) -> bool:
        if self.over or self.said_all:
            return True
        self.queue.append(("message", message, StatusCode.OK))
        self.queued += len(message)
        self.wants_writable = self.queued >= WINDOW
        return not self.wants_writable

    def end(self) -> None:
        if not self.over and not self.said_all:
            self.said_all = True
            self.over = self.answers
            self.queue.append(("end", b"", StatusCode.OK))

    def fail(self, code: StatusCode, message: str = "") -> None:
        if not self.over:
            self.queue.clear()
            if code is StatusCode.OK:
                self.end()
                return
            self.over = True
            self.queue.append(("fail", message.encode(), code))

    def consumed(self, size: int) -> None:
        self.owed -= size
        assert self.owed >= 0, "consumed more than was received"


class CallPair:
    """Both ends; give each its handler before the first pump."""

    def __init__(self) -> None:
        self.caller = PairedEnd(answers=False)
        self.answerer = PairedEnd(answers=True)

    def pump(self) -> bool:
        """Deliver until nothing moves; whether anything did."""
        moved = False
        while self._deliver(self.caller, self.answerer) or self._deliver(self.answerer, self.caller):
            moved = True
        return moved

    def lose(self) -> None:
        """The connection below is gone."""
        for end in (self.caller, self.answerer):
            end.queue.clear()
            if not end.over:
                end.over = True
                end.handler.failed(StatusCode.UNAVAILABLE, "the connection was lost")

    def _deliver(self, sender: PairedEnd, hearer: PairedEnd) -> bool:
        if not sender.queue or (sender.queue[0][0] == "message" and hearer.owed >= WINDOW):
            return False
        kind, data, code = sender.queue.popleft()
        if not hearer.over:
            self._tell(kind, data, code, hearer)
        if kind == "message":
            sender.queued -= len(data)
            if sender.wants_writable and sender.queued < WINDOW // 2 and not sender.over:
                sender.wants_writable = False
                sender.handler.writable()
        return True

    @staticmethod
    def _tell(kind: str, data: bytes, code: StatusCode, hearer: PairedEnd) -> None:
        if kind == "message":
            hearer.owed += len(data)
            hearer.handler.message_received(data)
        elif kind == "end":
            hearer.over = not hearer.answers
            hearer.handler.ended()
        else:
            hearer.over = True
            told = StatusCode.CANCELLED if hearer.answers else code
            hearer.handler.failed(told, data.decode())
