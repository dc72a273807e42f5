"""The frames of `kasbah.v1`: one fixed header for all of them.

    0      4        6      7       8              16
    | stream | length | type | flags | value         | payload (length bytes)

Network byte order. `value` is the byte offset of DATA, the absolute limit of WINDOW, the code of RESET and GOAWAY, and
an opaque number in PING and PONG. Absolute numbers make a lost update harmless and an overflow plain to see.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

import msgspec

HEADER: Final = struct.Struct("!IHBBQ")
OPENING_HEADER: Final = struct.Struct(HEADER.format + "BB")
"""Of OPEN: with the kind and the class that its payload begins with."""
MAX_PAYLOAD: Final = 65535
INITIAL_WINDOW: Final = 256 * 1024
"""Bytes a stream may carry before its reader has said anything."""
GROWN_WINDOW: Final = 1024 * 1024
"""The window of a stream whose reader has already taken this much: long fat networks need it, idle streams do not."""
MAX_STREAM_ID: Final = 2**30
"""Ids are never used again; a connection that gets this far is replaced by a new one."""
VERSION: Final = 1


class FrameType(enum.IntEnum):
    HELLO = 1
    """Stream 0, first frame of each side."""
    OPEN = 2
    """Payload: one byte `StreamKind`, one byte `StreamClass`, the opening."""
    HEAD = 3
    DATA = 4
    WINDOW = 5
    RESET = 6
    PING = 7
    PONG = 8
    GOAWAY = 9
    """Stream 0: no new streams are taken; `value` says why."""
    ANSWER = 10
    """HEAD and the first DATA in one; `value` is how long the head is. Only to a peer that says it takes them."""


END: Final = 0x01
"""Flag of OPEN, HEAD and DATA: the sender has said all it will say on this stream."""


class GoAwayCode(enum.IntEnum):
    DRAINING = 0
    """This end stops soon; running streams may finish."""
    UNAUTHENTICATED = 1
    """The agent token is unknown or revoked."""
    PROTOCOL = 2
    """The peer broke the protocol; the connection is closed at once."""
    UNAVAILABLE = 3
    """The token cannot be checked now; try again."""
    TOO_MANY_CONNECTIONS = 4
    """The agent has as many pods connected as it may."""
    FORBIDDEN = 5
    """The token is good but the agent may not connect."""


class AgentHello(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's first frame (JSON)."""

    version: int = VERSION
    token: str
    pod_id: int
    """Chosen at random when the process starts; the connection id of this pod."""
    window: int = INITIAL_WINDOW
    """Bytes the agent is ready to take on a new stream."""

    def __repr__(self) -> str:
        return f"AgentHello(version={self.version}, token=***, pod_id={self.pod_id})"


class KasHello(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of kas once the token is good (JSON)."""

    version: int = VERSION
    agent_id: int
    window: int = INITIAL_WINDOW
    """Bytes kas is ready to take on a new stream."""
    server_version: str = ""
    answers: bool = False
    """Whether it takes ANSWER."""


def frame(
    kind: FrameType, stream_id: int = 0, payload: bytes = b"", *, flags: int = 0, value: int = 0
) -> bytes:
    """One whole frame."""
    return HEADER.pack(stream_id, len(payload), kind, flags, value) + payload
