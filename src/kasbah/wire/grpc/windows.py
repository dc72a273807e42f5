"""The connection's inbound window, and what all its calls together hold.

The window opens as bytes arrive, so a call that nobody reads stalls no other: until the calls together leave more unread
than the connection may hold. From there on it opens only as they are consumed. Messages that are not whole yet are
counted apart, because waiting would never make them whole: for those somebody has to go.
"""

from __future__ import annotations

from kasbah.wire.grpc.frames import FLOW_CONTROL_ERROR, GrpcProtocolError
from kasbah.wire.grpc.limits import MIN_CONNECTION_WINDOW, GrpcLimits


class InboundWindow:
    """Bytes received, granted and held on one connection."""

    __slots__ = ("_granted", "_partial", "_received", "_size", "_unread", "most_held")

    def __init__(self, limits: GrpcLimits) -> None:
        self._size = max(limits.connection_window, MIN_CONNECTION_WINDOW)
        self.most_held = limits.max_buffered_bytes
        """What may be held; may change at any time."""
        self._received = 0
        self._granted = 0
        self._unread = 0
        self._partial = 0

    @property
    def held(self) -> tuple[int, int]:
        """Bytes unread by handlers, and bytes of messages that are not whole."""
        return self._unread, self._partial

    def receive(self, size: int) -> None:
        """A DATA frame of this size, with its padding.

        Raises:
            GrpcProtocolError: that is more than was granted.
        """
        self._received += size
        if self._received - self._granted > self._size:
            raise GrpcProtocolError("more DATA than the connection's window allows", FLOW_CONTROL_ERROR)

    def hold(self, unread: int, partial: int) -> bool:
        """So much more (or less) is held; False: messages that are not whole take too much room."""
        self._unread += unread
        self._partial += partial
        return self._partial <= self.most_held

    def take_grant(self) -> int:
        """How far to open the window now; 0 while that is not worth a frame."""
        due = self._received - max(0, self._unread - self.most_held) - self._granted
        if due < self._size // 2:
            return 0
        self._granted += due
        return due
