"""One watch that outlives the streams that carry it; to the exchange it is a `Stream` like any other.

Until the first answer it only passes on. From a 200 in a known encoding on the follower decides what the client gets;
when a stream breaks off, the next one goes on behind the last version within the same answer, and where that would be
a lie, the last event is an ERROR that makes clients list again.

    opening --200--> running --break--> broken --its turn--> reopening --200--> running
                        |                  ^                     |
                        |                  +--- 429, 5xx, lost --+--- 410, 401, 403 ---> ERROR event, over
                        +--- ended by the API server, left by the client ---> over

Flow control stays end to end: a stream is told `consumed` for what the client took, for BOOKMARKs that it does not get,
and for what is held of an event that is larger than the window; all watches together hold no more than a setting. The
next stream has a window of its own, so it is not opened before the client has taken what the last one brought.
"""

from __future__ import annotations

import math
from typing import Final, Literal, Protocol, get_args

import structlog
from prometheus_client import Counter

from kasbah.errors import PeerError
from kasbah.kas.kubernetes_api import watch_failures
from kasbah.kas.kubernetes_api.border import guarded
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kit.backoff import BackoffSettings
from kasbah.wire import http1
from kasbah.wire.http1 import MalformedMessageError, ResponseHead
from kasbah.wire.kubernetes_status import Failure
from kasbah.wire.request_policy import ProxyRequest
from kasbah.wire.stream import ResetCode, Stream, StreamHandler
from kasbah.wire.watch.encoding import Encoding, find_encoding
from kasbah.wire.watch.follower import Progress, WatchFollower
from kasbah.wire.watch.target import read_query, resumed, with_bookmarks

_log = structlog.get_logger()
HELD_IN_WINDOW: Final = 64 * 1024
"""So much of an event that is not whole may use up the stream's window; what is more is paid for in advance."""
REOPENING: Final = BackoffSettings(initial_s=0.25, maximum_s=10, reset_s=10, jitter=0.5)
_MAX_RETRY_AFTER_S: Final = 60

BREAKS: Final = Counter(
    "kasbah_kas_watch_breaks",
    "Watches whose stream broke off: resumed, or why they ended with an ERROR event or torn",
    ["result"],
)
Result = Literal["resumed", "expired", "refused", "unreachable", "torn"]
_BROKE: Final = {result: BREAKS.labels(result) for result in get_args(Result)}
_TOO_LARGE: Final = Counter(
    "kasbah_kas_watch_events_too_large",
    "Events too large to be held, which passed as they came",
)


class WatchClient(StreamHandler, Protocol):
    """The exchange, as its watch sees it."""

    def opening(self, head: bytes) -> bytes:
        """This head as it opens a stream: behind its envelope, and stamped."""


class WatchKeeper(Protocol):
    """Who keeps the watches of this process; `WatchOpener` is one."""

    settings: KubernetesApiSettings
    held_bytes: int
    """Of events that are not whole, over all watches, without what fits their windows."""

    @property
    def now(self) -> float:
        """Monotonic seconds."""

    def keep(self, watch: KeptWatch) -> None:
        """It can be resumed from now on."""

    def reopen(self, watch: KeptWatch, delay_s: float) -> None:
        """It broke off; after the delay let it `reopen_nowait` when its turn comes; infinity: it will ask again."""

    def reopened(self, watch: KeptWatch) -> None:
        """It has its answer, or no longer waits for one."""

    def forget(self, watch: KeptWatch) -> None:
        """It is over."""

    def open_stream(self, grant: Grant, opening: bytes, handler: StreamHandler) -> Stream | None:
        """A stream to the granted agent, or None when no tunnel is ready.

        Raises:
            PeerError: the opening is too large to travel.
        """

    def chance(self) -> float:
        """From 0 up to 1."""


class KeptWatch:
    """See above.

    Attributes:
        grant: whose watch this is; the lease ends it when that is no longer so.
        heard_at: when bytes came last.
        broken_since: when it broke off and has not gone on since; infinity while it runs.
        opened_at: when it was last sent.
    """

    __slots__ = (
        "_answered",
        "_attempts",
        "_client",
        "_ends_at",
        "_events_before",
        "_extra",
        "_follower",
        "_held_up",
        "_keeper",
        "_outstanding",
        "_over",
        "_request",
        "_stream",
        "_unsettled",
        "broken_since",
        "grant",
        "heard_at",
        "opened_at",
    )

    def __init__(self, keeper: WatchKeeper, grant: Grant, request: ProxyRequest, client: WatchClient) -> None:
        self.grant = grant
        self.heard_at = self.opened_at = keeper.now
        self.broken_since = math.inf
        self._keeper = keeper
        self._request = request
        self._client = client
        self._stream: Stream | None = None
        self._follower: WatchFollower | None = None
        self._answered = False
        self._over = False
        self._ends_at = math.inf
        self._attempts = 0
        self._events_before = 0
        self._unsettled = 0  # bytes of this stream for which it was not told `consumed`
        self._outstanding = 0  # bytes that the client has not taken; once the stream broke, that one's
        self._held_up = False  # its turn came, and the client had not taken everything
        self._extra = 0  # our part of the keeper's `held_bytes`

    def open_nowait(self) -> bool:
        """Open it for the first time; False when no tunnel is ready.

        Raises:
            PeerError: the opening is too large to travel.
        """
        target = self._request.target.raw
        query = read_query(target)
        if not query.bookmarks:
            target = with_bookmarks(target)
        if query.timeout_s:
            self._ends_at = self._keeper.now + query.timeout_s
        self._stream = self._keeper.open_stream(self.grant, self._opening(target), _Carrier(self))
        return self._stream is not None

    def reopen_nowait(self) -> bool:
        """Go on behind the last version; False when no tunnel is ready. Afterwards it may be over, or be held up."""
        try:
            return self._reopen()
        except Exception:  # noqa: BLE001 - the border: the other watches of the line go on
            self.crashed()
            return True

    def _reopen(self) -> bool:
        keeper, follower = self._keeper, self._follower
        left_s = self._ends_at - keeper.now
        if follower is None or left_s <= 0:
            self._end()
            return True
        if self._outstanding:
            self._held_up = True
            keeper.reopen(self, math.inf)
            return True
        timeout_s = 0 if left_s == math.inf else math.ceil(left_s)
        target = resumed(self._request.target.raw, follower.version, timeout_s)
        try:
            stream = keeper.open_stream(self.grant, self._opening(target), _Carrier(self))
        except PeerError:
            self._fail(watch_failures.expired(), "expired")
            return True
        if stream is None:
            return False
        self._stream = stream
        self._answered = False
        self._events_before = follower.events
        self.opened_at = keeper.now
        stream.end()
        return True

    @guarded
    def unanswered(self) -> None:
        """It was sent again, and nothing came in time."""
        self._try_again()

    @guarded
    def expire(self) -> None:
        """It is broken: end it if the client's time is over, or if it has been so for too long."""
        now = self._keeper.now
        if self._over:
            return
        if now >= self._ends_at:
            self._drop_stream()
            self._end()
        elif now - self.broken_since <= self._keeper.settings.watch_outage_s:
            return
        elif self._held_up:
            self._fail(watch_failures.expired(), "expired")
        else:
            self._fail(watch_failures.unreachable(connected=self._attempts > 0), "unreachable")

    @property
    def is_stalled(self) -> bool:
        """It should have heard something by now; not when the client is who holds things up."""
        follower, silent_s = self._follower, self._keeper.now - self.heard_at
        return (
            follower is not None
            and silent_s > self._keeper.settings.watch_stall_s
            and self.broken_since == math.inf
            and follower.bookmarked
            and not self._outstanding
        )

    @guarded
    def stalled(self) -> None:
        """Take the stream for dead."""
        self._drop_stream()
        self._broke(ResetCode.CONNECTION_LOST, "the watch has stalled")

    # From the exchange.

    @property
    def stream_id(self) -> int:
        return self._stream.stream_id if self._stream is not None else 0

    def send_head(self, head: bytes) -> None:
        """A request's head is in its opening."""

    def send(self, data: bytes) -> bool:
        """A watch has no body."""
        del data
        return True

    def end(self) -> None:
        if self._stream is not None:
            self._stream.end()

    def reset(self, code: int, message: str = "") -> None:
        stream = self._stream
        self._leave()
        if stream is not None:
            stream.reset(code, message)

    def consumed(self, count: int) -> None:
        if self._follower is None:
            if self._stream is not None:
                self._stream.consumed(count)
            return
        self._outstanding -= count
        self._settle(self._follower)
        if self._held_up and not self._outstanding:
            self._held_up = False
            self._keeper.reopen(self, 0.0)

    # From the stream that carries it now, by its `_Carrier`.

    def answered(self, head: bytes) -> None:
        if self._follower is not None:
            self._answered_again(head, self._follower)
            return
        parsed = _parse(head)
        encoding = _encoding_of(parsed) if parsed is not None else None
        if encoding is not None:
            self._answered = True
            self._follower = WatchFollower(encoding, read_query(self._request.target.raw))
            self._keeper.keep(self)
        self._client.head_received(head)

    def received(self, data: bytes) -> None:
        follower = self._follower
        if follower is None:
            self._client.data_received(data)
            return
        if not self._answered:
            self._try_again()
            return
        keeper = self._keeper
        self.heard_at = keeper.now
        self._unsettled += len(data)
        oversized = follower.oversized
        said = follower.receive(data, self._max_held())
        if said:
            self._outstanding += len(said)
            self._client.data_received(said)
            if self._over:
                return
        if follower.oversized != oversized:
            _TOO_LARGE.inc()
        if follower.held > HELD_IN_WINDOW or self._extra:
            self._count_held(follower.held)
        self._settle(follower)

    def ended(self) -> None:
        follower = self._follower
        if follower is None:
            self._leave()
            self._client.ended()
        elif not self._answered:
            self._try_again()
        elif follower.held and not follower.events:
            self._client.data_received(follower.surrender())
            self._end()
        elif follower.held:
            self._broke(ResetCode.UPSTREAM_FAILED, "the watch ended in the middle of an event")
        else:
            self._end()

    def lost(self, code: int, message: str) -> None:
        self._stream = None
        if self._follower is None:
            self._leave()
            self._client.reset(code, message)
        elif self._answered:
            self._broke(code, message)
        else:
            self._try_again()

    # The steps.

    def _answered_again(self, head: bytes, follower: WatchFollower) -> None:
        parsed = _parse(head)
        if parsed is None or parsed.status == 429 or parsed.status >= 500:
            self._try_again(0.0 if parsed is None else _retry_after_s(parsed))
        elif parsed.status != 200:
            refused = watch_failures.refused(parsed.status)
            self._fail(refused, "expired" if refused.code == 410 else "refused")
        elif _encoding_of(parsed) is not follower.encoding:
            self._fail(watch_failures.expired(), "expired")
        else:
            self._answered = True
            self.broken_since = math.inf
            self.heard_at = self._keeper.now
            self._keeper.reopened(self)
            _BROKE["resumed"].inc()

    def _broke(self, code: int, message: str) -> None:
        """Its stream is gone, and more was to come."""
        follower = self._follower
        if follower is None:
            return
        self._stream = None
        self._unsettled = 0
        torn = follower.torn
        follower.broken()
        self._count_held(0)
        if torn:
            _BROKE["torn"].inc()
            self._leave()
            self._client.reset(code, message)
        elif follower.progress is Progress.OVER:
            self._end()
        elif follower.progress is not Progress.FOLLOWING:
            self._fail(watch_failures.expired(), "expired")
        elif self._went_well(follower):
            self._attempts = 0
            self.broken_since = self._keeper.now
            self._keeper.reopen(self, 0.0)
        else:
            self._try_again()

    def _went_well(self, follower: WatchFollower) -> bool:
        """Whether the stream that broke had served: else opening the next at once would be a storm."""
        return (
            self._attempts == 0
            or follower.events > self._events_before
            or self._keeper.now - self.opened_at > REOPENING.reset_s
        )

    def _try_again(self, at_least_s: float = 0.0) -> None:
        """The last attempt came to nothing."""
        self._drop_stream()
        self.broken_since = min(self.broken_since, self.opened_at)
        delay_s = min(REOPENING.initial_s * REOPENING.factor ** min(self._attempts, 20), REOPENING.maximum_s)
        self._attempts += 1
        delay_s *= 1 + self._keeper.chance() * REOPENING.jitter
        self._keeper.reopen(self, max(delay_s, at_least_s))

    def _fail(self, failure: Failure, result: Result) -> None:
        """Say why in one last event."""
        self._drop_stream()
        _BROKE[result].inc()
        follower = self._follower
        if follower is not None:
            self._client.data_received(follower.encoding.error_event(failure))
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._leave()
            self._client.ended()

    def crashed(self) -> None:
        """The border: a bug that one watch brings out ends that one alone."""
        _log.exception("a watch crashed", agent_id=self.grant.agent_id)
        if not self._over:
            self.reset(ResetCode.INTERNAL)
            self._client.reset(ResetCode.INTERNAL, "the watch crashed")

    def _leave(self) -> None:
        self._over = True
        self._held_up = False
        self._stream = None
        self._count_held(0)
        if self._follower is not None:
            self._keeper.forget(self)

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.reset(ResetCode.CANCELLED, "the watch goes on elsewhere")

    def _opening(self, target: bytes) -> bytes:
        head = self._request.head
        return self._client.opening(b"GET %b HTTP/1.1%b" % (target, head[head.index(b"\r\n") :]))

    def _max_held(self) -> int:
        keeper = self._keeper
        settings = keeper.settings
        room = keeper.held_bytes < settings.max_held_watch_bytes
        return settings.max_watch_event_bytes if room else HELD_IN_WINDOW

    def _count_held(self, held: int) -> None:
        extra = max(0, held - HELD_IN_WINDOW)
        self._keeper.held_bytes += extra - self._extra
        self._extra = extra

    def _settle(self, follower: WatchFollower) -> None:
        """Open the window by all that neither waits for the client nor is held within it."""
        due = self._unsettled - self._outstanding - min(follower.held, HELD_IN_WINDOW)
        if due > 0 and self._stream is not None:
            self._unsettled -= due
            self._stream.consumed(due)


class _Carrier:
    """The handler of one stream."""

    __slots__ = ("_watch",)

    def __init__(self, watch: KeptWatch) -> None:
        self._watch = watch

    @guarded
    def head_received(self, head: bytes) -> None:
        self._watch.answered(head)

    def data_received(self, data: bytes) -> None:
        try:
            self._watch.received(data)
        except Exception:  # noqa: BLE001 - as `guarded`, without its call
            self.crashed()

    @guarded
    def ended(self) -> None:
        self._watch.ended()

    @guarded
    def reset(self, code: int, message: str) -> None:
        self._watch.lost(code, message)

    def crashed(self) -> None:
        """As `Guarded` says."""
        self._watch.crashed()

    def writable(self) -> None:
        """A watch has no body."""


def _parse(head: bytes) -> ResponseHead | None:
    try:
        return http1.parse_response_head(head)
    except MalformedMessageError:
        return None


def _encoding_of(head: ResponseHead) -> Encoding | None:
    """How its events are written; None when this is no answer that can be followed."""
    types = head.values(b"content-type")
    if head.status != 200 or len(types) != 1 or head.values(b"content-length"):
        return None
    if any(value.lower() != b"identity" for value in head.values(b"content-encoding")):
        return None
    return find_encoding(types[0])


def _retry_after_s(head: ResponseHead) -> float:
    said = head.values(b"retry-after")
    return min(int(said[0]), _MAX_RETRY_AFTER_S) if said and said[0].isdigit() and len(said[0]) < 6 else 0.0
