"""Socket options that tell a dead peer from a quiet one: a watch may be silent for minutes, a lost node is for ever."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

_IDLE_S: Final = 30
_INTERVAL_S: Final = 10
_PROBES: Final = 3
_UNACKNOWLEDGED_MS: Final = 30_000


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Probe the peer after 30 quiet seconds; give it up after 30 more, or when sent bytes stay unacknowledged."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE_S),
        ("TCP_KEEPINTVL", _INTERVAL_S),
        ("TCP_KEEPCNT", _PROBES),
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MS),
    ):
        option = getattr(socket, name, None)  # not every system has them all
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
