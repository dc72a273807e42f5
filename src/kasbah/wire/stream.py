"""One proxied exchange on its way through a tunnel, as the rooms above see it, whatever carries it.

The native tunnel makes such a stream of its frames, `http_call` one of GitLab's messages. Both ends look alike. The
room that owns the stream gets callbacks on a `StreamHandler` and gives orders on a `Stream`; all of it is synchronous
and none of it may block or await: this is the hot path of every proxied byte.
"""

from __future__ import annotations

import enum
from typing import Protocol


class StreamClass(enum.IntEnum):
    """How a stream shares the connection with the others (deficit round robin, best served first)."""

    KEYSTROKE = 0
    """exec, attach, port-forward: bytes a person waits for."""
    WATCH = 1
    """Long answers that trickle: watch, logs -f, calls between agentk and kas."""
    SMALL = 2
    """Ordinary requests."""
    BULK = 3
    """A stream that has carried much; SMALL streams turn into it by themselves."""


class StreamKind(enum.IntEnum):
    """What the first frame of a stream opens."""

    KUBERNETES_API = 1
    """kas to agentk: `wire.kubernetes_api` says what the opening holds."""
    RPC = 2
    """agentk to kas: the opening is the method's path; messages follow as `wire.rpc` frames them."""


class ResetCode(enum.IntEnum):
    """Why a stream ended before its end. On RPC streams `value` 1000 + n carries gRPC status n."""

    CANCELLED = 1
    """Nobody wants it any more."""
    REFUSED = 2
    """Not accepted, nothing was done: safe to send elsewhere."""
    UPSTREAM_UNREACHABLE = 3
    """agentk could not reach the API server; the message says why."""
    UPSTREAM_FAILED = 4
    """The API server broke the exchange off or broke the protocol."""
    DEADLINE = 5
    """The deadline passed."""
    PROTOCOL = 6
    """The peer broke the rules of this stream."""
    INTERNAL = 7
    """A bug at the far end."""
    CONNECTION_LOST = 8
    """Made by this end: the whole connection is gone."""
    FORBIDDEN = 9
    """agentk refuses: wrong agent in the grant, or nested impersonation."""


class StreamHandler(Protocol):
    """Implemented by the owner of a stream. No callback may raise; after `ended` and our own end, or `reset`, none follows."""

    def head_received(self, head: bytes) -> None:
        """The other side's head (for an HTTP stream: the answer's head)."""

    def data_received(self, data: bytes) -> None:
        """The next bytes. The window opens again only by `Stream.consumed`."""

    def ended(self) -> None:
        """The other side has said all it will say; we may still speak."""

    def reset(self, code: int, message: str) -> None:
        """The stream is over in both directions; `code` is a `ResetCode` or 1000 + a gRPC status."""

    def writable(self) -> None:
        """After a `send` that answered False: the queue has drained, go on."""


class Stream(Protocol):
    """Orders to one stream; harmless once it is over."""

    @property
    def stream_id(self) -> int:
        """Unique on its connection, never used again."""

    def send_head(self, head: bytes) -> None:
        """Say our head, once, before any data."""

    def send(self, data: bytes) -> bool:
        """Queue data. False: the queue is full; stop reading the source until `writable`."""

    def end(self) -> None:
        """We have said all; the other side may still speak."""

    def reset(self, code: int, message: str = "") -> None:
        """End both directions at once; queued data is dropped. No callback follows."""

    def consumed(self, count: int) -> None:
        """That many received bytes have left this room, so the peer may send as many more."""
