"""Addresses to listen on: HOST:PORT or a path, as people write them, and the sockets bound to them.

Binding is apart from serving, so that a program can find out that an address is taken before it has changed anything,
and which port the system chose before it tells anybody. Knows nothing of protocols.
"""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from kasbah.errors import UserError

_BACKLOG: Final = 1024
_EVERY_HOST: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound
_LONGEST_PATH: Final = 100  # of a socket; Linux takes 107 bytes

Network = Literal["tcp", "tcp4", "tcp6", "unix"]
"""`tcp` is both families."""
_FAMILIES: Final[Mapping[Network, socket.AddressFamily]] = {
    "tcp": socket.AF_UNSPEC,
    "tcp4": socket.AF_INET,
    "tcp6": socket.AF_INET6,
    "unix": socket.AF_UNIX,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen; as text it is what somebody on this machine would dial."""

    host: str
    """A name or an address, empty for every one of this machine; for `unix` the path."""
    port: int
    """0 lets the system choose."""
    network: Network = "tcp"

    @property
    def is_every_host(self) -> bool:
        """Whether this is no host in particular but all of this machine's addresses."""
        return self.host in _EVERY_HOST

    def __str__(self) -> str:
        if self.network == "unix":
            return self.host
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


def parse_listen_address(network: Network, text: str) -> Address:
    """Read `HOST:PORT`, `:PORT` for every interface, or for `unix` a path.

    Raises:
        UserError: it is not one.
    """
    if network == "unix":
        if not text.startswith("/") or len(text.encode()) > _LONGEST_PATH:
            raise UserError(
                f"{text!r} is not a path of at most {_LONGEST_PATH} bytes that begins with a slash"
            )
        return Address(host=text, port=0, network=network)
    if text.startswith(":") and _is_port(text[1:]):
        return Address(host="", port=int(text[1:]), network=network)
    address = parse_address(text)
    return Address(host=address.host, port=address.port, network=network)


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

    A socket in the file system replaces one that nobody answers at, and is removed at the end.

    Raises:
        OSError: it is taken, or this machine does not have it.
    """
    with ExitStack() as stack:
        if address.network == "unix":
            yield Bound(address=address, sockets=(_bind_path(Path(address.host), stack),))
            return
        found = socket.getaddrinfo(
            address.host or None,
            address.port,
            family=_FAMILIES[address.network],
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG,
        )
        port = address.port
        sockets = []
        for family, _, _, _, place in dict.fromkeys(found):
            made = socket.create_server((place[0], port, *place[2:]), family=family, backlog=_BACKLOG)
            # What it accepts inherits this; asyncio sees to it only where a socket was made by its protocol's number.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets.append(stack.enter_context(made))
            port = made.getsockname()[1]
        yield Bound(
            address=Address(host=address.host, port=port, network=address.network), sockets=tuple(sockets)
        )


def _bind_path(path: Path, stack: ExitStack) -> socket.socket:
    _remove_if_dead(path)
    made = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    made.bind(str(path))
    stack.callback(path.unlink, missing_ok=True)
    made.listen(_BACKLOG)
    return made


def _remove_if_dead(path: Path) -> None:
    """What a process left behind that was killed; nothing else is touched."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
                try:
                    asking.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink()
