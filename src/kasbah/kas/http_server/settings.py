"""The limits of the public server; each is enforced by `connection` or `server`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServerSettings:
    head_timeout_s: float = 10
    """A request's head must be complete this long after its first byte, a first one after the connection."""
    idle_timeout_s: float = 60
    """A connection without a request is closed after this long."""
    write_stall_s: float = 60
    """A client that takes no byte of an ordinary answer for this long is cut off."""
    body_window_s: float = 30
    """The time over which the rate of a request's body is averaged."""
    body_bytes_per_s: int = 1024
    """A body that comes slower than this, while we would read, is cut off."""
    linger_s: float = 2
    """After an answer that ends the connection: how long what the client still sends is read and thrown away."""
    half_close_s: float = 10
    """A client that has closed its side may be gone altogether; an ordinary answer is worked on this long yet."""
    discard_bytes: int = 16 * 1024 * 1024
    """How much of a body nobody wants is read to keep the connection."""
    held_bytes: int = 64 * 1024
    """Bytes behind a request (pipelined, or before an upgrade) that are kept before reading pauses."""
    drain_s: float = 10
    """How long running exchanges may take when the server stops."""
    max_strangers: int = 2000
    """Connections whose client has not authenticated yet, in total."""
    max_strangers_per_source: int = 64
    """The same per /24 or /56; this machine itself is exempt, because reverse proxies live here."""
    max_connections: int = 20_000
    """All connections together."""
    write_high_water_bytes: int = 64 * 1024
    """Unsent bytes of one connection before its source is paused."""
