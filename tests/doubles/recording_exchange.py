"""An exchange and a client that write down what is said to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kasbah.kas.http_server.exchange import Upgrade


@dataclass(eq=False)
class RecordingExchange:
    """An `Exchange`."""

    open_ended: bool = False
    body: bytes = b""
    said: list[str] = field(default_factory=list)

    def body_received(self, data: bytes) -> None:
        self.body += data

    def body_ended(self) -> None:
        self.said.append("body ended")

    def client_writable(self) -> None:
        self.said.append("writable")

    def client_gone(self) -> None:
        self.said.append("gone")

    def deadline_passed(self) -> None:
        self.said.append("deadline")

    def draining(self) -> None:
        self.said.append("draining")


@dataclass(eq=False)
class RecordingClient:
    """A `Client`."""

    writable: bool = True
    address: str = "192.0.2.7"
    secure: bool = True
    lines: bytes = b""
    content_length: int | None = None
    body: bytes = b""
    switched: bytes = b""
    deadline_s: float = 0
    held: Callable[[], None] = lambda: None
    """Called as soon as the protocol is switched: says what the client sent behind its head."""
    said: list[str] = field(default_factory=list)

    def accept_body(self) -> None:
        self.said.append("accept body")

    def pause_body(self) -> None:
        self.said.append("pause body")

    def resume_body(self) -> None:
        self.said.append("resume body")

    def start(self, lines: bytes, content_length: int | None, *, bodiless: bool = False) -> None:
        self.lines, self.content_length = lines, content_length
        self.said.append("start bodiless" if bodiless else "start")

    def write(self, data: bytes) -> bool:
        self.body += data
        return self.writable

    def finish(self) -> None:
        self.said.append("finish")

    def abort(self) -> None:
        self.said.append("abort")

    def switch_protocols(self, head: bytes) -> None:
        self.switched = head
        self.held()

    def set_deadline(self, seconds: float) -> None:
        self.deadline_s = seconds

    def authenticated(self) -> None:
        self.said.append("authenticated")

    def take_over(self) -> Upgrade:
        raise AssertionError("nobody takes a recording client over")

    @property
    def status(self) -> int:
        """The status of the answer; 0 before it began."""
        return int(self.lines[9:12] or 0)
