"""The channels of a session, whatever carries them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from kasbah.errors import PeerError


class Channel(Enum):
    """What one stream of a session is for."""

    STDIN = "stdin"
    STDOUT = "stdout"
    STDERR = "stderr"
    RESIZE = "resize"


FROM_CLIENT = frozenset({Channel.STDIN, Channel.RESIZE})
FROM_CLUSTER = frozenset({Channel.STDOUT, Channel.STDERR})

Hear = Callable[[Channel, bytes], None]
"""Takes the next bytes of a channel, in pieces of any size."""


class NotFollowedError(PeerError):
    """The bytes of a session are not what its protocol says, or are more than is kept of them."""
