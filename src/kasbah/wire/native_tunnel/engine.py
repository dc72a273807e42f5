"""One end of a native tunnel: the state machine.

Theory of operation. A connection begins with one HELLO from each side; the agent speaks first and nothing else is
accepted before kas has answered (state `greeting`). Then both may open streams: kas with even ids, the agent with odd
ones, each higher than the last. A stream is two independent directions; each ends with the END flag, both at once by
RESET. A sender never passes the absolute limit its reader has given (WINDOW), and a reader that sees it passed closes
the connection: flow control is enforced, not advised. GOAWAY stops new streams and lets running ones finish
(`draining`). PING is sent when nothing arrived for a while; no answer in time means the peer is gone although the
socket lives.

What is queued per stream is bounded (`tunnel_stream`), and its owner must stop reading its source when it is full.
Everything that goes out is collected and taken by the shell once per loop turn (`take`).

    greeting --accept/accepted--> open --GOAWAY either way--> draining --last stream over--> closed
    any state --protocol error, refused, connection lost--> closed

No sockets, no clock (`tick` is told the time), no randomness.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Final, Protocol

import msgspec

from kasbah.errors import PeerError
from kasbah.wire.native_tunnel.frames import (
    END,
    GROWN_WINDOW,
    HEADER,
    INITIAL_WINDOW,
    MAX_PAYLOAD,
    MAX_STREAM_ID,
    VERSION,
    AgentHello,
    FrameType,
    GoAwayCode,
    KasHello,
    frame,
)
from kasbah.wire.native_tunnel.scheduler import Scheduler
from kasbah.wire.native_tunnel.tunnel_stream import (
    STREAM_FRAMES,
    STREAM_HEADER,
    TunnelProtocolError,
    TunnelStream,
)
from kasbah.wire.stream import ResetCode, StreamClass, StreamHandler, StreamKind

PING_AFTER_S: Final = 6.0
"""Silence after which the peer is asked whether it is still there."""
PING_TIMEOUT_S: Final = 6.0
"""How long it may take to answer: a frozen peer is given up after fourteen seconds at most."""
LATE_FRAMES_PER_MINUTE: Final = 100_000
"""DATA for streams we have reset is normal while it is in flight; more than this is an attack."""
AGENT_OPENS_PER_MINUTE: Final = 600
"""Calls an agent may start; it needs a handful."""
AGENT_CALLS: Final = 64
"""Calls an agent may have open at once: each costs kas a task and room for a message."""
PINGS_PER_MINUTE: Final = 60
"""Each costs an answer, which waits here for a peer that does not read; an honest one asks every ten seconds."""
RETIRE_FROM_ID: Final = MAX_STREAM_ID - 2**22
"""From here on the connection drains, so that a new one is there before the ids are used up."""

OPENINGS_BUDGET: Final = 64 * 1024
"""Bytes of openings that go out at once before the classes have their turn."""

# Looked up per frame: plain numbers and a dictionary cost less than members of an enumeration.
_OPEN, _DATA, _SMALL = int(FrameType.OPEN), int(FrameType.DATA), int(StreamClass.SMALL)
_KINDS: Final = {int(kind): kind for kind in StreamKind}
_CLASSES: Final = len(StreamClass)


class Role(enum.Enum):
    """Which end this is. Between two kas the one that dials is KAS, and the other stands where an agent would."""

    AGENT = "agent"
    """Takes requests to a cluster, and makes calls."""
    KAS = "kas"
    """Sends requests to a cluster, and answers calls."""


class State(enum.Enum):
    GREETING = "greeting"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


_STATE_OPEN, _STATE_CLOSED = State.OPEN, State.CLOSED


class TunnelOwner(Protocol):
    """Who owns a tunnel end: told what concerns the whole connection."""

    def flush_wanted(self) -> None:
        """There is something to `take`; called once until it was taken."""

    def hello_received(self, hello: AgentHello) -> None:
        """Kas only: check the token, then call `accept` or `go_away`."""

    def accepted(self, hello: KasHello) -> None:
        """Agent only: kas has taken us; streams may be opened."""

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        """The peer opened a stream; who handles it? The answer may already have been given on the stream."""

    def go_away_received(self, code: GoAwayCode, message: str) -> None:
        """The peer takes no new streams; running ones may finish."""

    def finished(self) -> None:
        """Draining and no stream is left: the connection may be closed."""


class NativeTunnel:
    """One end of a connection; see the module for how it works."""

    def __init__(
        self, role: Role, owner: TunnelOwner, *, window: int = INITIAL_WINDOW, greeted: bool = False
    ) -> None:
        """With `greeted` the ends already know each other, and no greeting is said."""
        self.role = role
        self._is_kas = role is Role.KAS
        self.window = window
        self.state = State.OPEN if greeted else State.GREETING
        self._owner = owner
        self._streams: dict[int, TunnelStream] = {}
        self._unopened: OrderedDict[int, TunnelStream] = OrderedDict()
        self._scheduler: Scheduler[TunnelStream] = Scheduler()
        self._control: list[bytes | memoryview] = []
        self._flush_requested = False
        self._partial = bytearray()
        self._needed = 0
        self._rest: tuple[int, int, int, int] | None = None
        self._peer_window = INITIAL_WINDOW
        self.answers_taken = False
        """Whether the peer takes ANSWER frames."""
        self._next_id = 2 if role is Role.KAS else 1
        self._last_peer_id = 0
        self._heard = False
        self._last_heard: float | None = None
        self._ping_sent_at: float | None = None
        self._pings = 0
        self._peer_pings = 0
        self._late_frames = 0
        self._peer_opens = 0
        self._agent_calls = 0
        self._minute_began = 0.0
        self._peer_draining = False

    @property
    def stream_count(self) -> int:
        """Streams that are not over."""
        return len(self._streams)

    @property
    def can_open(self) -> bool:
        """Whether new streams may be opened on this connection."""
        return self.state is _STATE_OPEN and not self._peer_draining and self._next_id < MAX_STREAM_ID

    # -- orders --------------------------------------------------------------------------------------------------

    def greet(self, hello: AgentHello) -> None:
        """Agent: the first frame."""
        self.send_control(frame(FrameType.HELLO, 0, msgspec.json.encode(hello)))

    def accept(self, hello: KasHello) -> None:
        """kas: the token is good; streams may be opened from now on."""
        if self.state is State.GREETING:
            self.state = State.OPEN
            self.send_control(frame(FrameType.HELLO, 0, msgspec.json.encode(hello)))

    def open_stream(
        self,
        kind: StreamKind,
        opening: bytes,
        handler: StreamHandler,
        *,
        stream_class: StreamClass = StreamClass.SMALL,
    ) -> TunnelStream:
        """Open a stream; callers check `can_open` first.

        Raises:
            PeerError: the opening is over 64 KiB, or the connection takes no streams.
        """
        if not self.can_open:
            raise PeerError("the tunnel takes no new streams", retryable=True)
        if len(opening) + STREAM_HEADER > MAX_PAYLOAD:
            raise PeerError("the request's head is over 64 KiB")
        stream_id = self._next_id
        self._next_id = stream_id + 2
        stream = TunnelStream(self, stream_id, stream_class, self._peer_window, handler)
        stream.open(kind, opening)
        self._streams[stream_id] = self._unopened[stream_id] = stream
        if not self._flush_requested:
            self._flush_requested = True
            self._owner.flush_wanted()
        return stream

    def go_away(self, code: GoAwayCode, message: str = "") -> None:
        """Take no new streams; running ones may finish, and `finished` is called when the last is over."""
        if self.state in {State.GREETING, State.OPEN}:
            self.state = State.DRAINING
            self.send_control(frame(FrameType.GOAWAY, 0, message.encode()[:512], value=code))
            self._finish_if_idle()

    def connection_lost(self, message: str) -> None:
        """The socket is gone: every stream is told, nothing can be sent."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._control.clear()
            for stream in list(self._streams.values()):
                stream.lost(ResetCode.CONNECTION_LOST, message)

    def tick(self, now: float) -> None:
        """Called about once a second with a monotonic time: keep-alive and budgets.

        Raises:
            TunnelProtocolError: the peer has not answered a ping in time.
        """
        if self._heard or self._last_heard is None:
            self._heard = False
            self._last_heard = now
            self._ping_sent_at = None
        elif self._ping_sent_at is not None:
            if now - self._ping_sent_at > PING_TIMEOUT_S:
                raise TunnelProtocolError("the peer is silent: no answer to a ping")
        elif now - self._last_heard > PING_AFTER_S and self.state is not State.GREETING:
            self._ping_sent_at = now
            self._pings += 1
            self.send_control(frame(FrameType.PING, value=self._pings))
        if now - self._minute_began > 60:
            self._minute_began = now
            self._late_frames = self._peer_opens = self._peer_pings = 0
        if self._next_id >= RETIRE_FROM_ID and self.state is State.OPEN:
            self.go_away(GoAwayCode.DRAINING, "the stream ids of this connection are used up")

    # -- bytes in ------------------------------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview) -> None:
        """Bytes from the peer; calls handlers.

        Raises:
            TunnelProtocolError: the rules were broken; send GOAWAY if you can, and close.
        """
        self._heard = True
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                return
            data = bytes(self._partial)
            self._partial.clear()
        position, end = self._rest_received(data) if self._rest is not None else 0, len(data)
        unpack, size, streams = HEADER.unpack_from, HEADER.size, self._streams
        while end - position >= size:
            stream_id, length, kind, flags, value = unpack(data, position)
            begin = position + size
            position = begin + length
            if position > end:
                if kind == _DATA:
                    # Not kept until it is whole: bulk goes on as it comes, copied once.
                    self._rest = (stream_id, flags, value, length)
                    self._rest_received(data[begin:])
                    position = end
                else:
                    position = begin - size
                    self._needed = size + length
                break
            stream = streams.get(stream_id)
            if stream is not None and kind in STREAM_FRAMES:
                stream.frame_received(kind, flags, value, bytes(data[begin:position]))
            else:
                self._frame_received(kind, stream_id, flags, value, bytes(data[begin:position]))
            if self.state is _STATE_CLOSED:
                return
        else:
            self._needed = size
        if position < end:
            self._partial += data[position:]

    def _rest_received(self, data: bytes | memoryview) -> int:
        """Pass on what belongs to a DATA frame that has begun to arrive; how many bytes those are."""
        if self._rest is None:
            return 0
        stream_id, flags, value, left = self._rest
        piece = bytes(data[:left])
        size = len(piece)
        self._rest = (stream_id, flags, value + size, left - size) if size < left else None
        if size:
            self._frame_received(_DATA, stream_id, flags if size == left else 0, value, piece)
        return size

    def _frame_received(self, kind: int, stream_id: int, flags: int, value: int, payload: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and kind in STREAM_FRAMES:
            stream.frame_received(kind, flags, value, payload)
        elif self.state is State.GREETING and kind not in {FrameType.HELLO, FrameType.GOAWAY}:
            raise TunnelProtocolError("a frame before the greeting")
        elif stream_id:
            if kind == _OPEN:
                self._open_received(stream_id, flags, payload)
            else:
                self._frame_for_no_stream(kind, stream_id)
        elif kind == FrameType.PING:
            self._ping_received(value)
        elif kind == FrameType.HELLO:
            self._hello_received(payload)
        elif kind == FrameType.GOAWAY:
            self._peer_draining = True
            self._owner.go_away_received(_go_away_code(value), payload.decode(errors="replace"))
        elif kind != FrameType.PONG:
            raise TunnelProtocolError(f"an unknown frame of type {kind}")

    def _ping_received(self, value: int) -> None:
        self._peer_pings += 1
        if self._peer_pings > PINGS_PER_MINUTE:
            raise TunnelProtocolError("too many pings")
        self.send_control(frame(FrameType.PONG, value=value))

    def _hello_received(self, payload: bytes) -> None:
        if self.state is not State.GREETING:
            raise TunnelProtocolError("a second greeting")
        try:
            if self.role is Role.KAS:
                agent_hello = msgspec.json.decode(payload, type=AgentHello)
                self._greeted(agent_hello.version, agent_hello.window)
                self._owner.hello_received(agent_hello)
            else:
                kas_hello = msgspec.json.decode(payload, type=KasHello)
                self._greeted(kas_hello.version, kas_hello.window)
                self.answers_taken = kas_hello.answers
                self.state = State.OPEN
                self._owner.accepted(kas_hello)
        except msgspec.DecodeError as error:
            raise TunnelProtocolError("a malformed greeting") from error

    def _greeted(self, version: int, window: int) -> None:
        if version != VERSION:
            raise TunnelProtocolError(f"the peer speaks kasbah.v{version}, this end kasbah.v{VERSION}")
        if not 1024 <= window <= GROWN_WINDOW:
            raise TunnelProtocolError(f"a window of {window} bytes is not acceptable")
        self._peer_window = window

    def _open_received(self, stream_id: int, flags: int, payload: bytes) -> None:
        peer_parity = 1 if self.role is Role.KAS else 0
        if stream_id % 2 != peer_parity or stream_id <= self._last_peer_id or len(payload) < STREAM_HEADER:
            raise TunnelProtocolError(f"stream {stream_id} cannot be opened")
        self._last_peer_id = stream_id
        if why := self._why_not(payload[0]):
            self.send_control(frame(FrameType.RESET, stream_id, why.encode(), value=ResetCode.REFUSED))
            return
        kind, stream_class = _KINDS[payload[0]], payload[1] if payload[1] < _CLASSES else _SMALL
        if self.role is Role.KAS:
            self._agent_calls += 1
        stream = TunnelStream(self, stream_id, stream_class, self._peer_window, _ACCEPTING)
        self._streams[stream_id] = stream
        stream.take_over(self._owner.stream_opened(kind, payload[STREAM_HEADER:], stream), ended=flags & END)

    def _why_not(self, kind: int) -> str:
        """Why the peer's stream is refused; empty when it is not.

        Raises:
            TunnelProtocolError: an agent goes on opening calls.
        """
        if self.role is Role.KAS:
            self._peer_opens += 1
            if self._peer_opens > AGENT_OPENS_PER_MINUTE:
                raise TunnelProtocolError("the agent opens too many streams")
            if self._agent_calls >= AGENT_CALLS:
                return "too many calls of this agent are open"
        if kind not in _KINDS:
            return "an unknown kind of stream"
        return "" if self.state is State.OPEN else "this end is draining"

    def _frame_for_no_stream(self, kind: int, stream_id: int) -> None:
        if kind not in STREAM_FRAMES:
            raise TunnelProtocolError(f"an unknown frame of type {kind}")
        ours = (stream_id % 2 == 0) == (self.role is Role.KAS)
        if stream_id >= self._next_id if ours else stream_id > self._last_peer_id:
            raise TunnelProtocolError(f"a frame for stream {stream_id}, which was never opened")
        self._late_frames += 1
        if self._late_frames > LATE_FRAMES_PER_MINUTE:
            raise TunnelProtocolError("too many frames for streams that are over")

    # -- bytes out -----------------------------------------------------------------------------------------------

    def take(self, budget: int) -> list[bytes | memoryview]:
        """What is to be written now, about `budget` bytes at most; call again while `has_output`."""
        self._flush_requested = (
            True  # whoever takes goes on while there is more: nobody needs to ask meanwhile
        )
        out, self._control = self._control, []
        try:
            if self._unopened:
                budget -= self._emit_openings(out)
            if self._scheduler:
                self._scheduler.run(budget, lambda stream: stream.emit(out))
        finally:
            self._flush_requested = False
        return out

    @property
    def has_output(self) -> bool:
        """Whether `take` would answer something."""
        return bool(self._control or self._unopened or self._scheduler)

    def send_control(self, data: bytes) -> None:
        """A frame that goes out before all others."""
        if self.state is not State.CLOSED:
            self._control.append(data)
            self._want_flush()

    def stand_in_line(self, stream: TunnelStream, stream_class: int) -> None:
        """The stream has something to send."""
        self._scheduler.add(stream, stream_class)
        if not self._flush_requested:
            self._flush_requested = True
            self._owner.flush_wanted()

    def _emit_openings(self, out: list[bytes | memoryview]) -> int:
        """Open what waits to be opened: bytes written.

        Not by classes, because the peer takes ids in their order only; so nothing large may stand before a keystroke.
        """
        size, unopened = 0, self._unopened
        while unopened and size < OPENINGS_BUDGET:
            size += unopened.popitem(last=False)[1].emit_opening(out)
        return size

    def forget(self, stream: TunnelStream) -> None:
        """The stream is over on this side."""
        stream_id = stream.stream_id
        if self._streams.pop(stream_id, None) is not None:
            if stream.unsent:
                self._unopened.pop(stream_id, None)
            if stream_id % 2 and self._is_kas:
                self._agent_calls -= 1
            if self.state is not _STATE_OPEN:
                self._finish_if_idle()

    def _want_flush(self) -> None:
        if not self._flush_requested:
            self._flush_requested = True
            self._owner.flush_wanted()

    def _finish_if_idle(self) -> None:
        # Only for our own drain: when the peer drains, its next streams may be behind its GOAWAY, and it closes itself.
        if not self._streams and self.state is State.DRAINING:
            self._owner.finished()


class _Accepting:
    """Stands in while the owner decides who handles a stream, so that the stream can already be answered on."""

    def head_received(self, head: bytes) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def reset(self, code: int, message: str) -> None: ...

    def writable(self) -> None: ...


_ACCEPTING: Final = _Accepting()


def _go_away_code(value: int) -> GoAwayCode:
    try:
        return GoAwayCode(value)
    except ValueError:
        return GoAwayCode.DRAINING
