"""TCP to a host, whichever of its addresses answers.

The addresses are tried in random order, so that the pods of an agent spread over the replicas behind one name; one
that swallows packets has only its share of the time.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable
from typing import Any, Final

from kasbah.agentk.reverse_tunnel.head_reader import HeadReader
from kasbah.errors import PeerError
from kasbah.kube.sockets import keep_alive

_MIN_SHARE_S: Final = 2.0
_random: Final = random.SystemRandom()

Address = tuple[socket.AddressFamily, Any]
Shuffle = Callable[[list[Address]], None]


async def connect(
    host: str,
    port: int,
    timeout_s: float,
    *,
    shuffle: Shuffle = _random.shuffle,
) -> tuple[asyncio.Transport, HeadReader]:
    """A connection to the first address that takes one.

    Raises:
        PeerError: the name has no address, or none of them answers in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    problems: list[str] = []
    addresses = await _resolve(host, port, timeout_s)
    shuffle(addresses)
    for position, (family, address) in enumerate(addresses):
        left_s = deadline - loop.time()
        try:
            async with asyncio.timeout(share(left_s, len(addresses) - position)):
                return await _connect_to(family, address)
        except TimeoutError:
            problems.append(f"{address[0]} does not answer")
        except OSError as error:
            problems.append(f"{address[0]}: {os.strerror(error.errno) if error.errno else error}")
    raise PeerError(f"cannot connect to {host}:{port}: {'; '.join(problems)}", retryable=True)


def share(left_s: float, addresses: int) -> float:
    """Seconds that the next of so many addresses has."""
    return min(left_s, max(left_s / addresses, _MIN_SHARE_S))


async def _resolve(host: str, port: int, timeout_s: float) -> list[Address]:
    try:
        async with asyncio.timeout(timeout_s):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise PeerError(f"cannot resolve {host}: no answer in time", retryable=True) from error
    except OSError as error:
        raise PeerError(f"cannot resolve {host}: {error.strerror or error}", retryable=True) from error
    return [(family, address) for family, _, _, _, address in found]


async def _connect_to(family: socket.AddressFamily, address: Any) -> tuple[asyncio.Transport, HeadReader]:
    loop = asyncio.get_running_loop()
    # asyncio switches the delay of small writes off only where the protocol's number stands.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.settimeout(0)
        await loop.sock_connect(sock, address)
        transport, reader = await loop.create_connection(HeadReader, sock=sock)
    except BaseException:
        sock.close()
        raise
    keep_alive(transport)
    return transport, reader
