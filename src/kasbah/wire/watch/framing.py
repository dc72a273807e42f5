"""Where one event of a watch ends and the next begins: one scanner for each of Kubernetes' stream encodings.

A scanner is shown bytes in any pieces, each byte once and in order, and keeps no byte itself.
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

_LENGTH: Final = struct.Struct(">I")
_BREAK: Final = 0xFF
_ENDLESS: Final = -1
_MAX_DEPTH: Final = 128
# What follows the first byte of a CBOR item, by its additional information (RFC 8949, 3).
_ARGUMENT_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = 2, 3, 4, 5, 6, 7


class UnreadableFramingError(ValueError):
    """These bytes are not of the encoding that was announced: nobody knows where an event ends."""


class Scanner(Protocol):
    """Finds the ends of events."""

    def end_of_event(self, data: bytes, start: int) -> int:
        """Where in `data` the event ends that `start` is in; 0 when all the rest belongs to it and more must come.

        Raises:
            UnreadableFramingError: no event is encoded like this.
        """


class LineScanner:
    """JSON: one event a line."""

    __slots__ = ()

    def end_of_event(self, data: bytes, start: int) -> int:
        return data.find(b"\n", start) + 1


class LengthScanner:
    """Protobuf: four bytes of length before each event."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def end_of_event(self, data: bytes, start: int) -> int:
        if not self._left:
            missing = 4 - len(self._head)
            head = self._head + data[start : start + missing]
            if len(head) < 4:
                self._head = head
                return 0
            self._head = b""
            start += missing
            (self._left,) = _LENGTH.unpack(head)
            if not self._left:
                return start
        end = start + self._left
        if end > len(data):
            self._left = end - len(data)
            return 0
        self._left = 0
        return end


class CborScanner:
    """CBOR sequences: items say themselves where they end, when each of their parts is counted."""

    __slots__ = ("_argument", "_first", "_missing", "_open", "_skip")

    def __init__(self) -> None:
        self._open: list[int] = [1]  # items still to come, level by level; -1: until a break
        self._skip = 0  # bytes of a string
        self._first = 0
        self._argument = 0
        self._missing = 0  # bytes of the argument

    def end_of_event(self, data: bytes, start: int) -> int:
        position, end = start, len(data)
        while position < end:
            if self._skip:
                taken = min(self._skip, end - position)
                self._skip -= taken
                position += taken
                if not self._skip:
                    self._item_over()
            elif self._missing:
                self._argument = self._argument << 8 | data[position]
                self._missing -= 1
                position += 1
                if not self._missing:
                    self._begun(self._first >> 5, self._argument)
            else:
                self._first_byte(data[position])
                position += 1
            if not self._open:
                self._open.append(1)
                return position
        return 0

    def _first_byte(self, first: int) -> None:
        major, information = first >> 5, first & 31
        if first == _BREAK:
            if self._open[-1] != _ENDLESS:
                raise UnreadableFramingError("a break where nothing is open")
            self._open.pop()
            self._item_over()
        elif information < 24:
            self._begun(major, information)
        elif information in _ARGUMENT_BYTES:
            self._first, self._argument, self._missing = first, 0, _ARGUMENT_BYTES[information]
        elif information == 31 and major in {_BYTES, _TEXT, _ARRAY, _MAP}:
            self._push(_ENDLESS)
        else:
            raise UnreadableFramingError("a reserved CBOR item")

    def _begun(self, major: int, argument: int) -> None:
        if major in {_BYTES, _TEXT} and argument:
            self._skip = argument
        elif major in {_ARRAY, _MAP} and argument:
            self._push(argument if major == _ARRAY else 2 * argument)
        elif major != _TAG:  # a tag's content is the item
            self._item_over()

    def _push(self, items: int) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise UnreadableFramingError("CBOR nested too deep")
        self._open.append(items)

    def _item_over(self) -> None:
        """One item less to come at this level, which may end the levels above."""
        levels = self._open
        while levels and levels[-1] != _ENDLESS:
            levels[-1] -= 1
            if levels[-1]:
                return
            levels.pop()
