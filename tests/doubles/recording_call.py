"""A call that nothing carries: writes down its orders, or what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from kasbah.wire.rpc import Call, StatusCode


@dataclass
class RecordingCall:
    """What the owner of a call said on it; nothing is written down once it is over."""

    full: bool = False
    """Whether `send` answers that the queue is full."""
    answers: bool = True
    """Whether this is the answerer's end: its `end` is the call's."""
    sent: list[bytes] = field(default_factory=list)
    ended: bool = False
    failed_with: tuple[StatusCode, str] | None = None
    taken: list[int] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return self.failed_with is not None or (self.answers and self.ended)

    def send(self, message: bytes) -> bool:
        if not self.is_over:
            self.sent.append(message)
        return self.is_over or not self.full

    def end(self) -> None:
        self.ended = self.ended or not self.is_over

    def fail(self, code: StatusCode, message: str = "") -> None:
        if code is StatusCode.OK:
            self.end()
        elif not self.is_over:
            self.failed_with = (code, message)

    def consumed(self, size: int) -> None:
        self.taken.append(size)


@dataclass
class RecordingCallHandler:
    """What a call's handler was told, in order; takes each message unless told to be slow."""

    call: Call | None = None
    slow: bool = False
    said: list[tuple[str, object]] = field(default_factory=list)

    def message_received(self, message: bytes) -> None:
        self.said.append(("message", message))
        if self.call is not None and not self.slow:
            self.call.consumed(len(message))

    def ended(self) -> None:
        self.said.append(("ended", None))

    def failed(self, code: StatusCode, message: str) -> None:
        self.said.append(("failed", (code, message)))

    def writable(self) -> None:
        self.said.append(("writable", None))

    def words(self) -> list[str]:
        """Only the kinds of what was said."""
        return [word for word, _ in self.said]
