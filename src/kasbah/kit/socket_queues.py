"""Keeps the kernel's queues of a connection short where many streams share it.

What the kernel holds, nobody can overtake: on a fast line to a busy reader it grows to several megabytes in each
direction, and a keystroke waits behind all of it, whatever the scheduler above wanted. So the sender's kernel takes
little that is not on its way yet, and the reader's holds what a gigabit a second needs for the line's round trip.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final

UNSENT_BYTES: Final = 256 * 1024
"""What the kernel takes before it is on its way; more waits where it can be overtaken."""
RECEIVED_BYTES: Final = 1024 * 1024
"""What the kernel holds for a reader at the other end of a short line; it needs as much to keep the line busy."""
_BYTES_PER_S: Final = 125_000_000
_LINUX_DOUBLES: Final = 2
_MOST_BYTES: Final = 4 * 1024 * 1024
"""From here on the kernel's own choice is no longer."""
_ROUND_TRIP_AT: Final = 68
"""In `struct tcp_info` of linux/tcp.h: microseconds, smoothed."""


def keep_short(transport: asyncio.BaseTransport) -> None:
    """Once, when the connection has been used for a round trip or more; harmless where it means nothing."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with contextlib.suppress(OSError, AttributeError, struct.error):  # not every system has these
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        wanted = received_bytes(_round_trip_s(sock))
        if wanted < _MOST_BYTES:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted // _LINUX_DOUBLES)


def received_bytes(round_trip_s: float) -> int:
    """What the reader's kernel may hold on a line of this round trip."""
    return max(RECEIVED_BYTES, int(round_trip_s * _BYTES_PER_S))


def _round_trip_s(sock: socket.socket) -> float:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ROUND_TRIP_AT + 4)
    (microseconds,) = struct.unpack_from("=I", info, _ROUND_TRIP_AT)
    return float(microseconds) / 1e6
