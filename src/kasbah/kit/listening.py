"""Addresses to listen on: HOST:PORT as people write it, and the sockets bound to it.

Binding is apart from serving, so that a program can find out that an address is taken before it has changed anything,
and which port the system chose before it tells anybody. Knows nothing of protocols.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from kasbah.errors import UserError

_BACKLOG: Final = 1024
_EVERY_HOST: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen; as text it is what somebody on this machine would dial."""

    host: str
    port: int
    """0 lets the system choose."""

    @property
    def is_every_host(self) -> bool:
        """Whether this is no host in particular but all of this machine's addresses."""
        return self.host in _EVERY_HOST

    def __str__(self) -> str:
        host = "localhost" if self.is_every_host else self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `HOST:PORT`; an IPv6 address stands in brackets.

    Raises:
        UserError: it is not one.
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not host or (":" in host and not bracketed) or not _is_port(port):
        raise UserError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return Address(host=host, port=int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """An address that is ours; clients may connect, and wait until somebody serves them."""

    address: Address
    """With the port that was chosen."""
    sockets: tuple[socket.socket, ...]
    """One for each address of the host: `localhost` has two."""


@contextmanager
def bound(address: Address) -> Iterator[Bound]:
    """Hold the address until the end, whoever has closed it meanwhile.

    Raises:
        OSError: it is taken, or this machine does not have it.
    """
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
    )
    port = address.port
    with ExitStack() as stack:
        sockets = []
        for family, _, _, _, place in dict.fromkeys(found):
            made = socket.create_server((place[0], port, *place[2:]), family=family, backlog=_BACKLOG)
            sockets.append(stack.enter_context(made))
            port = made.getsockname()[1]
        yield Bound(address=Address(host=address.host, port=port), sockets=tuple(sockets))
