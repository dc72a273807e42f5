"""pkt-lines: how Git frames what it says (gitprotocol-common, "pkt-line Format").

Pure. A packet is its payload, or one of the three markers without payload. The reader holds at most one packet of
65,520 bytes beyond what it was fed; what follows the packets (a pack) is left in it untouched.
"""

from __future__ import annotations

import enum
from typing import Final

from kasbah.gitrepo.errors import BadGitRequestError

MAX_PACKET: Final = 65520
"""The longest packet with its four digits of length."""
MAX_PAYLOAD: Final = MAX_PACKET - 4


class Marker(enum.Enum):
    """The packets that carry no payload."""

    FLUSH = b"0000"
    DELIMITER = b"0001"
    RESPONSE_END = b"0002"


Packet = bytes | Marker

FLUSH: Final = Marker.FLUSH.value
_MARKERS = {0: Marker.FLUSH, 1: Marker.DELIMITER, 2: Marker.RESPONSE_END}
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


def encode(payload: bytes) -> bytes:
    """One packet with this payload, which must fit."""
    if len(payload) > MAX_PAYLOAD:
        raise BadGitRequestError(f"a pkt-line carries at most {MAX_PAYLOAD} bytes, not {len(payload)}")
    return b"%04x" % (len(payload) + 4) + payload


class PktLineReader:
    """Takes bytes as they come and gives whole packets, one by one."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_packet(self) -> Packet | None:
        """The next packet, or None until more bytes have come.

        Raises:
            BadGitRequestError: the four digits of length are none, or say 3 or more than a packet may have.
        """
        if len(self._buffer) < 4:
            return None
        length = self._length()
        if length < 4:
            del self._buffer[:4]
            return _MARKERS[length]
        if len(self._buffer) < length:
            return None
        payload = bytes(self._buffer[4:length])
        del self._buffer[:length]
        return payload

    def rest(self) -> bytes:
        """What was fed and not yet taken as packets."""
        return bytes(self._buffer)

    def _length(self) -> int:
        digits = bytes(self._buffer[:4])
        if not _HEX_DIGITS.issuperset(digits):
            raise BadGitRequestError(f"a pkt-line begins with four hexadecimal digits, not {digits!r}")
        length = int(digits, 16)
        if length == 3 or length > MAX_PACKET:
            raise BadGitRequestError(f"a pkt-line cannot be {length} bytes long")
        return length
