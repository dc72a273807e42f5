"""Two ends of a native tunnel joined in memory: every dialogue is seen from both sides."""

from __future__ import annotations

from dataclasses import dataclass, field

from kasbah.wire.native_tunnel.engine import NativeTunnel, Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode, KasHello
from kasbah.wire.native_tunnel.tunnel_stream import TunnelStream
from kasbah.wire.stream import ResetCode, Stream, StreamHandler, StreamKind

Said = tuple[str, object]


@dataclass
class RecordingHandler:
    """Writes down what a stream says, in order; takes all it gets unless told to be slow."""

    stream: Stream | None = None
    slow: bool = False
    gives_up: bool = False
    """Reset the stream on seeing the head."""
    said: list[Said] = field(default_factory=list)
    received: int = 0

    def head_received(self, head: bytes) -> None:
        self.said.append(("head", head))
        if self.gives_up and self.stream is not None:
            self.stream.reset(ResetCode.CANCELLED)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.said.append(("data", bytes(data)))
        if not self.slow and self.stream is not None:
            self.stream.consumed(len(data))

    def ended(self) -> None:
        self.said.append(("ended", None))

    def reset(self, code: int, message: str) -> None:
        self.said.append(("reset", (code, message)))

    def writable(self) -> None:
        self.said.append(("writable", None))

    def words(self) -> list[str]:
        """Only the kinds of what was said."""
        return [word for word, _ in self.said]


class Owner:
    """One end's owner: records the connection's events and hands each new stream to a `RecordingHandler`."""

    def __init__(self, role: Role, *, slow: bool = False) -> None:
        self.tunnel = NativeTunnel(role, self)
        self.slow = slow
        self.events: list[Said] = []
        self.opened: list[tuple[StreamKind, bytes, TunnelStream, RecordingHandler]] = []

    def flush_wanted(self) -> None: ...

    def hello_received(self, hello: AgentHello) -> None:
        self.events.append(("hello", hello.token))

    def accepted(self, hello: KasHello) -> None:
        self.events.append(("accepted", hello.agent_id))

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        handler = RecordingHandler(stream, slow=self.slow)
        self.opened.append((kind, opening, stream, handler))
        return handler

    def go_away_received(self, code: GoAwayCode, message: str) -> None:
        self.events.append(("go away", (code, message)))

    def finished(self) -> None:
        self.events.append(("finished", None))

    def open(self, opening: bytes = b"opening") -> tuple[TunnelStream, RecordingHandler]:
        """Open a stream of the kind this side may open."""
        kind = StreamKind.KUBERNETES_API if self.tunnel.role is Role.KAS else StreamKind.RPC
        handler = RecordingHandler(slow=self.slow)
        handler.stream = stream = self.tunnel.open_stream(kind, opening, handler)
        return stream, handler


class TunnelPair:
    """An agent's end and kas' end; `pump` carries bytes until nobody has more to say."""

    def __init__(self, *, greeted: bool = True, slow: bool = False, answers: bool = False) -> None:
        self.agent = Owner(Role.AGENT, slow=slow)
        self.kas = Owner(Role.KAS, slow=slow)
        if greeted:
            self.agent.tunnel.greet(AgentHello(token="glagent-secret", pod_id=1))
            self.pump()
            self.kas.tunnel.accept(KasHello(agent_id=7, answers=answers))
            self.pump()

    def pump(self, *, piece: int = 1 << 20) -> int:
        """Deliver everything both ways, in pieces of at most `piece` bytes; how many bytes went."""
        total = 0
        while self.agent.tunnel.has_output or self.kas.tunnel.has_output:
            total += self._carry(self.agent, self.kas, piece) + self._carry(self.kas, self.agent, piece)
        return total

    @staticmethod
    def _carry(source: Owner, target: Owner, piece: int) -> int:
        data = b"".join(source.tunnel.take(1 << 20))
        for start in range(0, len(data), piece):
            target.tunnel.receive(data[start : start + piece])
        return len(data)
