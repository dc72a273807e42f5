"""One request that is routed: a stream to whoever turns out to hold a tunnel of its agent.

To the exchange it is a stream like any other. Until a kas has taken the request, the body waits here, so a refusal
costs nothing and the next kas is asked; from then on everything passes through. Replicas are asked one after the
other and never two at once, so nothing is done twice. When a connection is lost after the opening has left, or a kas
says neither yes nor no, nobody knows what was done: the exchange decides if the request may be repeated.

    asking --taken--> joined --either side ends--> over
    asking --refused, or lost before anything left--> waiting --a way is found--> asking
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import Counter

from kasbah.errors import PeerError
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.reverse_tunnel.registry import Granted, Waiter
from kasbah.wire.native_tunnel.engine import NativeTunnel
from kasbah.wire.native_tunnel.tunnel_stream import TunnelStream
from kasbah.wire.stream import ResetCode, Stream, StreamClass, StreamHandler, StreamKind

_results: Final = Counter(
    "kasbah_kas_routed_requests", "Requests offered to another kas, by what it made of them.", ["result"]
)


class Ways(Protocol):
    """The router, as a stream sees it."""

    settings: PrivateApiSettings

    def find_local(
        self, grant: Granted, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> Stream | None:
        """A stream over a tunnel of this process."""

    def find_replica(self, agent_id: int) -> tuple[str, NativeTunnel] | None:
        """A connection to a kas that may hold a tunnel of the agent."""

    def refused(self, agent_id: int, url: str) -> None:
        """It holds none, just now."""

    def silent(self, url: str) -> None:
        """It answers nothing."""

    def wait(self, agent_id: int, waiter: Waiter) -> None: ...

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None: ...


class RoutedStream:
    """A `Stream` to the exchange, and a `Waiter` while no way is known."""

    __slots__ = (
        "_answers",
        "_body",
        "_ended",
        "_give_up_at",
        "_grant",
        "_handler",
        "_link",
        "_opening",
        "_over",
        "_stream",
        "_stream_class",
        "_taken",
        "_timer",
        "_url",
        "_ways",
    )

    def __init__(
        self, ways: Ways, grant: Granted, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> None:
        self._ways = ways
        self._grant = grant
        self._opening = opening
        self._stream_class = stream_class
        self._handler = handler
        self._answers = _Answers(self, handler)
        self._stream: Stream | None = None
        self._link: TunnelStream | None = None
        self._url = ""
        self._taken = self._ended = self._over = False
        self._body: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._give_up_at = 0.0

    def ask(self, url: str, tunnel: NativeTunnel) -> None:
        """Offer the request to this replica.

        Raises:
            PeerError: the opening is too large to travel.
        """
        self._url = url
        self._link = self._stream = tunnel.open_stream(
            StreamKind.KUBERNETES_API, self._opening, self._answers, stream_class=self._stream_class
        )
        if self._ended and not self._body:
            self._link.end()
        self._limit(self._ways.settings.accept_timeout_s, self._unanswered)

    # -- from the exchange ---------------------------------------------------------------------------------------

    @property
    def stream_id(self) -> int:
        return self._stream.stream_id if self._stream is not None else 0

    def send_head(self, head: bytes) -> None:
        """A request's head is in its opening."""

    def send(self, data: bytes) -> bool:
        if self._over:
            return True
        if self._taken and self._stream is not None:
            return self._stream.send(data)
        self._body.append(data)
        return False

    def end(self) -> None:
        self._ended = True
        if self._stream is not None and not self._body:
            self._stream.end()

    def reset(self, code: int, message: str = "") -> None:
        stream = self._stream
        self._let_go()
        if stream is not None:
            stream.reset(code, message)

    def consumed(self, count: int) -> None:
        if self._stream is not None:
            self._stream.consumed(count)

    # -- from whoever was asked ----------------------------------------------------------------------------------

    @property
    def is_taken(self) -> bool:
        """Whether somebody has taken the request."""
        return self._taken

    def taken(self, result: str) -> None:
        """Somebody has: what waited goes there."""
        _results.labels(result).inc()
        self._taken = True
        self._stop_timer()
        body, self._body = self._body, []
        stream = self._stream
        if stream is None:
            return
        room = True
        for data in body:
            room = stream.send(data)
        if self._ended:
            stream.end()
        elif body and room:
            self._handler.writable()

    def given_up(self, code: int, message: str) -> None:
        """Reset by whoever was asked, or its connection is lost."""
        unsent = self._link is not None and self._link.unsent and code == ResetCode.CONNECTION_LOST
        if self._taken or not (unsent or code == ResetCode.REFUSED):
            self._fail(code, message, "lost" if code == ResetCode.CONNECTION_LOST else "failed")
        else:
            _results.labels("unsent" if unsent else "refused").inc()
            self._stream = self._link = None
            self._stop_timer()
            self._ways.refused(self._grant.agent_id, self._url)
            self._find()

    def tunnel_ready(self) -> None:
        """A way may have been found."""
        if not self._over:
            self._stop_timer()
            self._find()

    # -- the steps -----------------------------------------------------------------------------------------------

    def _find(self) -> None:
        """Take a way that is there, or stand in line for one."""
        grant = self._grant
        try:
            local = self._ways.find_local(grant, self._opening, self._stream_class, self._answers)
            replica = None if local is not None else self._ways.find_replica(grant.agent_id)
            if replica is not None:
                self.ask(*replica)
        except PeerError as error:
            self._fail(ResetCode.PROTOCOL, str(error), "failed")
            return
        if local is not None:
            self._stream = local
            self.taken("local")
        elif replica is None:
            self._wait()

    def _wait(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._give_up_at:  # in line for the first time: who was asked in vain has no new time
            self._give_up_at = now + self._ways.settings.route_wait_s
        self._limit(self._give_up_at - now, self._not_found)
        self._ways.wait(self._grant.agent_id, self)

    def _unanswered(self) -> None:
        self._ways.silent(self._url)
        stream = self._stream
        self._fail(ResetCode.CONNECTION_LOST, "another kas does not answer", "silent")
        if stream is not None:
            stream.reset(ResetCode.CANCELLED, "no answer in time")

    def _not_found(self) -> None:
        self._fail(ResetCode.REFUSED, "no kas has a tunnel of the agent", "not found")

    def _fail(self, code: int, message: str, result: str) -> None:
        if not self._over:
            if not self._taken:
                _results.labels(result).inc()
            self._let_go()
            self._handler.reset(code, message)

    def _let_go(self) -> None:
        self._over = True
        self._stop_timer()
        self._stream = self._link = None
        self._body = []
        self._ways.stop_waiting(self._grant.agent_id, self)

    def _limit(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Answers:
    """The handler of the stream to whoever was asked."""

    __slots__ = ("_handler", "_routed")

    def __init__(self, routed: RoutedStream, handler: StreamHandler) -> None:
        self._routed = routed
        self._handler = handler

    def head_received(self, head: bytes) -> None:
        if not self._routed.is_taken:
            self._routed.taken("taken")
        if head:
            self._handler.head_received(head)

    def data_received(self, data: bytes) -> None:
        self._handler.data_received(data)

    def ended(self) -> None:
        self._handler.ended()

    def reset(self, code: int, message: str) -> None:
        self._routed.given_up(code, message)

    def writable(self) -> None:
        self._handler.writable()
