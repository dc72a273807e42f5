"""Just enough of CBOR (RFC 8949): a text deep in a map is found, everything else is stepped over.

Kubernetes writes its strings as byte strings and takes both kinds, and so does this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

Path = tuple[str, ...]
_MAX_DEPTH: Final = 128
_BREAK: Final = 0xFF
_ARGUMENT_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = 2, 3, 4, 5, 6
_ENDLESS: Final = -1


class UnreadableCborError(ValueError):
    """Not one whole CBOR item."""


def texts(item: bytes, paths: Sequence[Path]) -> list[str]:
    """The text at each path of keys in the map that `item` is; empty where there is none.

    Raises:
        UnreadableCborError: it is no CBOR.
    """
    reader = _Reader(item, paths)
    try:
        reader.value((), 0)
    except (IndexError, UnicodeDecodeError) as error:
        raise UnreadableCborError("torn CBOR") from error
    return [reader.found.get(path, "") for path in paths]


def encode(value: object) -> bytes:
    """A document of maps, texts and whole numbers as Kubernetes would write it.

    Raises:
        TypeError: there is something else in it.
    """
    match value:
        case dict():
            pairs = b"".join(encode(key) + encode(member) for key, member in value.items())
            return _head(_MAP, len(value)) + pairs
        case str():
            text = value.encode("utf-8", "replace")
            return _head(_BYTES, len(text)) + text
        case int() if value >= 0:
            return _head(0, value)
    raise TypeError(f"no CBOR for a {type(value).__name__}")


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for information, size in _ARGUMENT_BYTES.items():
        if argument < 1 << 8 * size:
            return bytes([major << 5 | information]) + argument.to_bytes(size, "big")
    raise TypeError("a number too large for CBOR")


class _Reader:
    def __init__(self, data: bytes, paths: Sequence[Path]) -> None:
        self._data = data
        self._position = 0
        self._wanted = frozenset(paths)
        self._ways = frozenset(path[:depth] for path in paths for depth in range(len(path)))
        self.found: dict[Path, str] = {}

    def value(self, path: Path | None, depth: int) -> None:
        """Step over one item; `path` says where it stands, or None when nothing in it is wanted."""
        if depth > _MAX_DEPTH:
            raise UnreadableCborError("CBOR nested too deep")
        major, argument = self._head()
        while major == _TAG:
            major, argument = self._head()
        if major in {_BYTES, _TEXT}:
            text = self._string(argument)
            if path in self._wanted and path is not None:
                self.found[path] = text.decode()
        elif major == _ARRAY:
            self._items(argument, lambda: self.value(None, depth + 1))
        elif major == _MAP:
            inside = path if path in self._ways else None
            self._items(argument, lambda: self._pair(inside, depth + 1))

    def _pair(self, path: Path | None, depth: int) -> None:
        if path is None:
            self.value(None, depth)
            self.value(None, depth)
            return
        major, argument = self._head()
        if major not in {_BYTES, _TEXT}:
            raise UnreadableCborError("a key that is no text")
        self.value((*path, self._string(argument).decode()), depth)

    def _items(self, count: int, step: Callable[[], None]) -> None:
        while count:
            if count == _ENDLESS:
                if self._data[self._position] == _BREAK:
                    self._position += 1
                    return
            else:
                count -= 1
            step()

    def _string(self, size: int) -> bytes:
        if size == _ENDLESS:
            pieces: list[bytes] = []
            while self._data[self._position] != _BREAK:
                major, argument = self._head()
                if major not in {_BYTES, _TEXT} or argument == _ENDLESS:
                    raise UnreadableCborError("a string of something else")
                pieces.append(self._string(argument))
            self._position += 1
            return b"".join(pieces)
        end = self._position + size
        if end > len(self._data):
            raise UnreadableCborError("torn CBOR")
        text = self._data[self._position : end]
        self._position = end
        return text

    def _head(self) -> tuple[int, int]:
        """Major type and argument of the next item; -1 for one without a length."""
        first = self._data[self._position]
        self._position += 1
        major, information = first >> 5, first & 31
        if information < 24:
            return major, information
        size = _ARGUMENT_BYTES.get(information)
        if size is None:
            if information == 31 and major in {_BYTES, _TEXT, _ARRAY, _MAP}:
                return major, _ENDLESS
            raise UnreadableCborError("a reserved CBOR item")
        end = self._position + size
        if end > len(self._data):
            raise UnreadableCborError("torn CBOR")
        argument = int.from_bytes(self._data[self._position : end], "big")
        self._position = end
        return major, argument
