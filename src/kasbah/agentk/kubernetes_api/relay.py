"""One request: a stream of the tunnel on one side, a connection to the API server on the other.

Synchronous both ways, one object, no task. Nobody reads what the other side has not taken: a full stream pauses the
connection, a full connection withholds `consumed`. Either side's end, half or whole, is passed on; whoever gives up
takes the other side along.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

from kasbah.agentk.kubernetes_api.upstream_request import CHUNKED, UpstreamRequest
from kasbah.kit.secrets import scrub
from kasbah.kube.connection import Exchange, UpstreamConnection
from kasbah.kube.errors import UnreachableError, UpstreamError
from kasbah.kube.response_head import ResponseHead
from kasbah.wire.stream import ResetCode, Stream

MAX_HELD_BYTES: Final = 256 * 1024
"""What waits here for a connection or a 101; no more than a stream's first window, so an honest kas cannot reach it."""
LINGER_S: Final = 10.0
"""How long one direction of a pipe may stay open and still after the other has closed."""
NEVER: Final = float("inf")


class Connections(Protocol):
    """Where connections come from."""

    def acquire(self, exchange: Exchange, *, fresh: bool = False) -> None: ...

    def forget(self, exchange: Exchange) -> None: ...


Outcome = Literal["completed", "cancelled", "unreachable", "failed", "deadline", "refused"]
"""How a request ended, for the metrics."""


class RelayOwner(Protocol):
    """Who keeps the books of the relays."""

    @property
    def connections(self) -> Connections: ...

    def now(self) -> float: ...

    def relay_ended(self, relay: Relay, outcome: Outcome) -> None: ...


class Relay:
    """Handler of the stream and exchange of the connection."""

    __slots__ = (
        "_answered",
        "_connection",
        "_head",
        "_held",
        "_held_bytes",
        "_left",
        "_over",
        "_owed",
        "_owner",
        "_pipe",
        "_request",
        "_request_ended",
        "_retried",
        "_stream",
        "_upstream_ended",
        "_writing_paused",
        "deadline",
    )

    def __init__(
        self, owner: RelayOwner, stream: Stream, request: UpstreamRequest, stamp: bytes = b""
    ) -> None:
        """`stamp`: the head's last lines, with the empty one."""
        self._owner = owner
        self._stream = stream
        self._request = request
        self._head = request.head[:-2] + stamp if stamp else request.head
        self._connection: UpstreamConnection | None = None
        self._held: list[bytes] | None = None
        self._held_bytes = 0
        self._left = request.body
        self._owed = 0
        self._over = False
        self._answered = False
        self._pipe = False
        self._request_ended = False
        self._upstream_ended = False
        self._retried = False
        self._writing_paused = False
        self.deadline = owner.now() + request.deadline_s if request.deadline_s else NEVER
        """When `expire` is due; read by the owner's one timer."""

    def start(self) -> None:
        """Ask for a connection; an upgrade gets one of its own, so that no kept one can go stale under it."""
        self._owner.connections.acquire(self, fresh=bool(self._request.upgrade))

    # The stream's side

    def head_received(self, head: bytes) -> None:
        del head
        self._give_up(ResetCode.PROTOCOL, "kas sent a second head on one stream", "refused")

    def data_received(self, data: bytes) -> None:
        if self._over or not data:
            self._stream.consumed(len(data))
        elif self._connection is None or (self._request.upgrade and not self._pipe):
            self._hold(data)
        else:
            self._forward(data)

    def ended(self) -> None:
        self._request_ended = True
        if not self._over and self._connection is not None and (self._pipe or not self._request.upgrade):
            self._end_request()

    def reset(self, code: int, message: str) -> None:
        del code, message  # whatever the reason, nobody wants the answer
        self._drop_upstream()
        self._finish("cancelled")

    def writable(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()

    # The connection's side

    def connected(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        request = self._request
        connection.begin(
            self,
            self._head,
            request_open=request.body != 0,
            bodiless=request.bodiless_answer,
            upgrade=request.upgrade,
        )
        if not request.upgrade and (self._held or self._request_ended):
            self._send_held()

    def answer_began(self, head: ResponseHead) -> None:
        self._answered = True
        self.deadline = NEVER
        self._stream.send_head(head.kept)
        if head.status == 101:
            self._pipe = True
            self._send_held()

    def answer_data(self, data: bytes) -> None:
        if self._pipe and self.deadline != NEVER:
            self.deadline = self._owner.now() + LINGER_S
        if not self._stream.send(data) and self._connection is not None:
            self._connection.pause_reading()

    def answer_ended(self) -> None:
        self._stream.end()
        if self._pipe and not self._request_ended:
            self._upstream_ended = True
            self.deadline = self._owner.now() + LINGER_S
            return
        if self._pipe:
            self._drop_upstream()
        self._connection = None
        self._finish("completed")

    def exchange_failed(self, error: UpstreamError, *, stale: bool) -> None:
        self._connection = None
        if stale and self._request.repeatable and not self._retried:
            self._retried = True
            self._owner.connections.acquire(self, fresh=True)
        elif isinstance(error, UnreachableError):
            self._give_up(ResetCode.UPSTREAM_UNREACHABLE, str(error), "unreachable")
        else:
            self._give_up(ResetCode.UPSTREAM_FAILED, str(error), "failed")

    def writing_paused(self) -> None:
        self._writing_paused = True

    def writing_resumed(self) -> None:
        self._writing_paused = False
        owed, self._owed = self._owed, 0
        if owed:
            self._stream.consumed(owed)

    # The owner's side

    def expire(self) -> None:
        """The deadline has passed."""
        if self._answered:
            self._give_up(ResetCode.CANCELLED, "one direction closed and the other is silent", "completed")
        else:
            text = f"the API server did not begin to answer within {self._request.deadline_s:g} s"
            self._give_up(ResetCode.DEADLINE, text, "deadline")

    def stop(self) -> None:
        """The program goes down."""
        self._give_up(ResetCode.CANCELLED, "agentk is stopping", "cancelled")

    # The request's body

    def _hold(self, data: bytes) -> None:
        self._held_bytes += len(data)
        if self._held_bytes > MAX_HELD_BYTES:
            self._give_up(ResetCode.PROTOCOL, "kas sent more than the stream's window", "refused")
        elif self._held is None:
            self._held = [data]
        else:
            self._held.append(data)

    def _send_held(self) -> None:
        held, self._held, self._held_bytes = self._held, None, 0
        for data in held or ():
            if self._over:
                self._stream.consumed(len(data))
            else:
                self._forward(data)
        if self._request_ended and not self._over:
            self._end_request()

    def _forward(self, data: bytes) -> None:
        connection, size = self._connection, len(data)
        if connection is None:
            return
        if self._pipe:
            if self.deadline != NEVER:
                self.deadline = self._owner.now() + LINGER_S
            connection.write(data)
        elif self._left == CHUNKED:
            connection.write(b"%x\r\n%b\r\n" % (size, data))
        elif size <= self._left:
            self._left -= size
            connection.write(data)
            if self._left == 0:
                connection.request_complete()
        else:
            self._give_up(ResetCode.PROTOCOL, "kas sent more body than the head declares", "refused")
            return
        if self._writing_paused:
            self._owed += size
        else:
            self._stream.consumed(size)

    def _end_request(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._pipe:
            self._end_pipe(connection)
        elif self._left == CHUNKED:
            connection.write(b"0\r\n\r\n")
            connection.request_complete()
        elif self._left > 0:
            self._give_up(ResetCode.PROTOCOL, "kas sent less body than the head declares", "refused")

    def _end_pipe(self, connection: UpstreamConnection) -> None:
        if self._upstream_ended:
            self._drop_upstream()
            self._finish("completed")
        elif not connection.end_pipe():
            self.deadline = self._owner.now() + LINGER_S

    # Ends

    def _give_up(self, code: ResetCode, message: str, outcome: Outcome) -> None:
        if self._over:
            return
        self._drop_upstream()
        self._stream.reset(code, scrub(message))
        self._finish(outcome)

    def _drop_upstream(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        else:
            self._owner.connections.forget(self)

    def _finish(self, outcome: Outcome) -> None:
        if self._over:
            return
        self._over = True
        self.deadline = NEVER
        unread = self._owed + self._held_bytes
        self._held, self._held_bytes, self._owed = None, 0, 0
        if unread:
            self._stream.consumed(unread)
        self._owner.relay_ended(self, outcome)
