"""How much one connection's peer may ask of this side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIN_CONNECTION_WINDOW: Final = 65_535
"""What every connection begins with (RFC 9113, 6.9.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcLimits:
    """Bounds of one connection. What is counted is counted per ten seconds (`floods`)."""

    max_calls: int = 1000
    """Calls open at once, announced to the peer; further ones are refused."""
    max_message_bytes: int = 4 * 1024 * 1024
    """One message, decompressed; a longer one fails its call."""
    max_metadata_bytes: int = 16 * 1024
    """A call's header list as HTTP/2 counts it; a longer one fails the call, twice as much the connection."""
    stream_window: int = 256 * 1024
    """Bytes the peer may send on one call beyond what its handler has consumed."""
    connection_window: int = 4 * 1024 * 1024
    """Bytes the peer may send on the connection beyond what was received; HTTP/2 knows no less than 65,535."""
    max_buffered_bytes: int = 32 * 1024 * 1024
    """What all handlers of the connection together may leave unconsumed before the connection's window stays closed;
    and what all half-received messages together may take before a call is failed for its own."""
    max_output_bytes: int = 1024 * 1024
    """Answers to frames (acknowledgements, resets) that the peer does not read, before the connection is ended."""
    keepalive_s: float | None = None
    """Seconds of silence before a PING; None: 50 for a server, 55 for a client."""
    keepalive_timeout_s: float = 20.0
    """Seconds without a byte after that PING until the connection counts as dead."""
    max_resets: int = 1000
    """Calls the peer may cut before any answer, or lose by its own breach of protocol, or open beyond `max_calls`; and those
    that get an error as their whole answer."""
    max_pings: int = 20_000
    """PINGs; peers written in Go send one with nearly every batch of data."""
    max_settings: int = 100
    """SETTINGS frames."""
    max_inflated_bytes: int = 64 * 1024 * 1024
    """Bytes that decompressing yields beyond the first 64 KiB of each message; then further such messages fail their calls."""
    max_idle_frames: int = 10_000
    """Frames that do nothing: empty DATA, PRIORITY, unknown types, late frames of calls that are over."""
