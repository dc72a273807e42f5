"""An arm whose message holds nothing but bytes in its field 1: most of what is sent in most streams.

In bytes: the arm's tag, a length, the tag of field 1, a length, the data. Written and read here without building the
messages in between, which is several times quicker; whatever is encoded in another way is left to protobuf.
"""

from __future__ import annotations

_DATA = 0x0A  # field 1, length-delimited


def tag(number: int) -> int:
    """The first byte of a message whose arm has this field number; below 16."""
    return number << 3 | 2


def wrap(arm_tag: int, data: bytes) -> bytes:
    """The serialized message whose arm holds this data."""
    size = len(data)
    if size < 0x7E:
        return b"%c%c\x0a%c%b" % (arm_tag, size + 2, size, data)
    length = _varint(size)
    return b"%c%b\x0a%b%b" % (arm_tag, _varint(size + len(length) + 1), length, data)


def unwrap(arm_tag: int, message: bytes) -> bytes | None:
    """The data, when the message has exactly this arm in exactly this shape."""
    size = len(message)
    if size < 0x82:
        if (
            size >= 4
            and message[0] == arm_tag
            and message[1] == size - 2
            and message[2] == _DATA
            and message[3] == size - 4
        ):
            return message[4:]
        return None
    if message[0] != arm_tag:
        return None
    length, at = _length(message, 1)
    if length != size - at or message[at] != _DATA:
        return None
    length, at = _length(message, at + 1)
    return message[at:] if length == size - at else None


def _varint(value: int) -> bytes:
    if value < 0x80:
        return b"%c" % value
    if value < 0x4000:
        return b"%c%c" % (value & 0x7F | 0x80, value >> 7)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _length(message: bytes, at: int) -> tuple[int, int]:
    """The length at this place and where it ends; -1 for one of more than three bytes."""
    first = message[at]
    if first < 0x80:
        return first, at + 1
    second = message[at + 1]
    if second < 0x80:
        return first & 0x7F | second << 7, at + 2
    third = message[at + 2]
    return (first & 0x7F | (second & 0x7F) << 7 | third << 14 if third < 0x80 else -1), at + 3
