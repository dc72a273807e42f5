"""Free ports of the loopback interface."""

from __future__ import annotations

import contextlib
import socket


def free(count: int, address: str = "127.0.0.1") -> list[int]:
    """`count` different ports nobody listens on now. Somebody else may still be faster; the sandbox then fails to start."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((address, 0))
        return [int(one.getsockname()[1]) for one in sockets]
