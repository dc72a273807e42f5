"""One session as an asciicast: hears the bytes of both directions, gives the lines to write.

Never raises and never grows: what is not understood, or is too much, ends the recording with a marker.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Final, Literal

from kasbah.wire.session_recording import asciicast
from kasbah.wire.session_recording.asciicast import About, Kind
from kasbah.wire.session_recording.channels import Channel, NotFollowedError
from kasbah.wire.session_recording.spdy_session import SpdySession
from kasbah.wire.session_recording.websocket_session import WebSocketSession

Carrier = Literal["websocket", "spdy"]
FULL: Final = "the recording ends here: the file is as large as it may be"
_MAX_RESIZE_BYTES: Final = 4096
_MAX_SIDE: Final = 65535


class SessionFollower:
    """Follows one session, from the first byte after its 101.

    Attributes:
        following: nothing is told any more once this is false.
        understood: false when it stopped because of the bytes it heard.
    """

    def __init__(
        self, carrier: Carrier, about: About, now: float, *, with_input: bool, max_bytes: int
    ) -> None:
        """`now` is the beginning, by the clock that later calls use; `max_bytes` is how much is told in all."""
        kind = WebSocketSession if carrier == "websocket" else SpdySession
        self._session = kind(self._hear, with_input=with_input)
        self._about = about
        self._began = self._now = now
        self._left = max_bytes
        self._lines: list[bytes] = []
        self._headed = False
        self._resize = bytearray()
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {channel: decoder("replace") for channel in Channel}
        self.following = True
        self.understood = True

    def from_client(self, data: bytes, now: float) -> bytes:
        """What to write because of these bytes."""
        return self._follow(self._session.from_client, data, now)

    def from_cluster(self, data: bytes, now: float) -> bytes:
        """What to write because of these bytes."""
        return self._follow(self._session.from_cluster, data, now)

    def end(self, now: float) -> bytes:
        """The last lines: letters that were cut in two, and the header when there was nothing else."""
        if self.following:
            self._now = now
            self._tell("o", self._decoders[Channel.STDOUT].decode(b"", final=True))
            self._tell("o", self._decoders[Channel.STDERR].decode(b"", final=True))
            self._head()
            self.following = False
        return self._taken()

    def stop(self, why: str, now: float) -> bytes:
        """Follow no further, and say why."""
        if self.following:
            self._now = now
            self._stop(why)
        return self._taken()

    def _follow(self, take: Callable[[bytes], None], data: bytes, now: float) -> bytes:
        if not self.following:
            return b""
        self._now = now
        try:
            take(data)
        except NotFollowedError as error:
            if self.following:
                self.understood = False
                self._stop(f"the recording ends here: {error}")
        return self._taken()

    def _hear(self, channel: Channel, data: bytes) -> None:
        if channel is Channel.RESIZE:
            self._resized(data)
        else:
            kind: Kind = "i" if channel is Channel.STDIN else "o"
            self._tell(kind, self._decoders[channel].decode(data))

    def _resized(self, data: bytes) -> None:
        """One JSON object after another; what is none, the cluster does not take for a size either."""
        self._resize += data
        if len(self._resize) > _MAX_RESIZE_BYTES:
            raise NotFollowedError("a terminal's size is too large to be one")
        *texts, rest = self._resize.replace(b"}", b"}\0").split(b"\0")
        self._resize = bytearray(rest)
        for text in texts:
            size = _size(bytes(text))
            if size is None:
                continue
            if not self._headed:
                self._head(*size)
            else:
                self._tell("r", f"{size[0]}x{size[1]}")

    def _tell(self, kind: Kind, text: str) -> None:
        if not text or not self.following:
            return
        self._head()
        line = asciicast.event(self._now - self._began, kind, text)
        if len(line) > self._left:
            self._stop(FULL)
        else:
            self._put(line)

    def _head(self, width: int = asciicast.WIDTH, height: int = asciicast.HEIGHT) -> None:
        if not self._headed:
            self._headed = True
            self._put(asciicast.header(self._about, width, height))

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self._left -= len(line)

    def _stop(self, why: str) -> None:
        """The marker is told even when nothing else would fit."""
        self._head()
        self._put(asciicast.event(self._now - self._began, "m", why))
        self.following = False

    def _taken(self) -> bytes:
        lines, self._lines = self._lines, []
        return b"".join(lines)


def _size(text: bytes) -> tuple[int, int] | None:
    try:
        read = json.loads(text)
        width, height = read["Width"], read["Height"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(width) is not int or type(height) is not int:
        return None
    return (width, height) if 0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE else None
