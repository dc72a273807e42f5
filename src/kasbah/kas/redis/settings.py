"""How the shared Redis is reached, with the reasons for the defaults; GitLab's section `redis` says the same things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kasbah.errors import UserError
from kasbah.kit.secrets import Secret

MAX_CALL_S: Final = 3.0
"""No call takes longer, whatever the timeouts say: a request may be waiting for it."""
_NONE: Final = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTls:
    ca_certificate_file: str = ""
    """PEM certificates to trust; the machine's own when empty."""
    certificate_file: str = ""
    """Our certificate, when Redis asks for one."""
    key_file: str = ""
    """Its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """One server, or the sentinels that know which one is the master.

    Raises:
        UserError: addresses that are none, or too many of them.
    """

    addresses: tuple[str, ...]
    """`HOST:PORT`; with network `unix` a socket's path. One server, or with `sentinel_master` every sentinel."""
    network: str = "tcp"
    """`tcp` or `unix`."""
    sentinel_master: str = ""
    """The master's name at the sentinels; empty: the address is the server itself."""
    sentinel_password: Secret = _NONE
    """What the sentinels ask for."""
    username: str = ""
    """For servers with access lists; empty: the default user."""
    password: Secret = _NONE
    """What the server asks for."""
    tls: RedisTls | None = None
    """TLS to the server and to the sentinels; plain when None."""
    database_index: int = 0
    """Which of the server's numbered databases."""
    pool_size: int = 16
    """Connections kept at most; a call that finds none free waits within its time."""
    dial_timeout_s: float = 1.0
    """For connecting, in seconds: a Redis worth sharing is near."""
    read_timeout_s: float = 1.0
    """For an answer, in seconds."""
    write_timeout_s: float = 1.0
    """For saying a command, in seconds."""
    idle_timeout_s: float = 300.0
    """A connection that was idle this long is tried before it is used, in seconds."""
    key_prefix: str = "kasbah-kas"
    """Before every key and channel, so that one Redis serves several deployments."""

    def __post_init__(self) -> None:
        if self.network not in {"tcp", "unix"}:
            raise UserError(f"redis.network must be tcp or unix, and not {self.network}")
        if not self.addresses or (len(self.addresses) > 1 and not self.sentinel_master):
            raise UserError("redis needs the address of one server, or of sentinels and their master's name")
        if self.sentinel_master and self.network == "unix":
            raise UserError("redis.sentinel: sentinels are reached over tcp")
        if self.network == "tcp":
            for address in self.addresses:
                host_and_port(address)

    @property
    def call_timeout_s(self) -> float:
        """For a whole call, connecting included, in seconds."""
        return min(self.dial_timeout_s + max(self.read_timeout_s, self.write_timeout_s), MAX_CALL_S)


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of `HOST:PORT`; an IPv6 address stands in brackets.

    Raises:
        UserError: it is not one.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"redis: {address!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
