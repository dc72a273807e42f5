"""Two ends of a gRPC connection joined in memory, and handlers that write down what they hear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kasbah.wire.grpc.engine import GrpcEngine, GrpcLimits, GrpcRole
from kasbah.wire.rpc import Call, CallHandler, Metadata, StatusCode

Said = tuple[str, Any]


@dataclass
class RecordingCallHandler:
    """Writes down what a call says, in order; takes all it gets unless told to be slow."""

    call: Call | None = None
    slow: bool = False
    said: list[Said] = field(default_factory=list)

    def message_received(self, message: bytes) -> None:
        self.said.append(("message", message))
        if not self.slow and self.call is not None:
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

    def messages(self) -> list[bytes]:
        """Only the messages."""
        return [what for word, what in self.said if word == "message"]

    @property
    def code(self) -> StatusCode:
        """How the call failed; OK when it only ended."""
        return next((what[0] for word, what in self.said if word == "failed"), StatusCode.OK)

    @property
    def reason(self) -> str:
        """What was said with the failure."""
        return next((what[1] for word, what in self.said if word == "failed"), "")


class GrpcEnd:
    """One end's owner: records the connection's events and hands each new call to a `RecordingCallHandler`."""

    def __init__(self, role: GrpcRole, *, slow: bool = False, **options: Any) -> None:
        self.slow = slow
        self.events: list[str] = []
        self.opened: list[tuple[str, Metadata, Call, RecordingCallHandler]] = []
        self.on_call: Callable[[str, Call], CallHandler | None] | None = None
        self.engine = GrpcEngine(role, self, **options)

    def flush_wanted(self) -> None: ...

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        handler = RecordingCallHandler(call, slow=self.slow)
        self.opened.append((path, metadata, call, handler))
        answered = self.on_call(path, call) if self.on_call is not None else None
        return handler if answered is None else answered

    def going_away(self) -> None:
        self.events.append("going away")

    def finished(self) -> None:
        self.events.append("finished")

    def open(self, path: str = "/test/Method", metadata: Metadata = ()) -> tuple[Call, RecordingCallHandler]:
        """Open a call."""
        handler = RecordingCallHandler(slow=self.slow)
        handler.call = call = self.engine.open_call(path, handler, metadata)
        return call, handler


class GrpcPair:
    """A client's end and a server's; `pump` carries bytes until nobody has more to say."""

    def __init__(
        self,
        *,
        slow: bool = False,
        compress: bool = False,
        client_limits: GrpcLimits | None = None,
        server_limits: GrpcLimits | None = None,
    ) -> None:
        self.client = GrpcEnd(
            GrpcRole.CLIENT,
            slow=slow,
            limits=client_limits,
            compress=compress,
            authority="kas",
            user_agent="t/1",
        )
        self.server = GrpcEnd(GrpcRole.SERVER, slow=slow, limits=server_limits)
        self.pump()

    def open(
        self, path: str = "/test/Method", metadata: Metadata = ()
    ) -> tuple[Call, RecordingCallHandler, Call, RecordingCallHandler]:
        """Open a call and bring it to the server: the caller's call and handler, the answerer's call and handler."""
        call, handler = self.client.open(path, metadata)
        self.pump()
        _, _, answering, answerer = self.server.opened[-1]
        return call, handler, answering, answerer

    def pump(self, *, piece: int = 1 << 20) -> int:
        """Deliver everything both ways, in pieces of at most `piece` bytes; how many bytes went."""
        total = 0
        while self.client.engine.has_output or self.server.engine.has_output:
            total += self._carry(self.client, self.server, piece) + self._carry(
                self.server, self.client, piece
            )
        return total

    @staticmethod
    def _carry(source: GrpcEnd, target: GrpcEnd, piece: int) -> int:
        data = source.engine.take(1 << 20)
        for start in range(0, len(data), piece):
            target.engine.receive(data[start : start + piece])
        return len(data)
