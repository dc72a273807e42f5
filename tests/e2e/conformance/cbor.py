"""CBOR (RFC 8949) as far as the API server speaks it: maps, lists, strings, whole numbers, booleans, null."""

from __future__ import annotations

from typing import Any

SELF_DESCRIBED = b"\xd9\xd9\xf7"
_SIMPLE: dict[int, Any] = {20: False, 21: True, 22: None}


def encode(value: Any) -> bytes:
    """Text goes as byte strings, as the API server writes it."""
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(encode(key) + encode(each) for key, each in value.items())
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(encode(each) for each in value)
    if isinstance(value, int):
        return _head(0, value)
    data = str(value).encode()
    return _head(2, len(data)) + data


def decode(data: bytes) -> Any:
    """The one value that `data` is."""
    assert data.startswith(SELF_DESCRIBED), data[:20]
    value, end = _decode(data, len(SELF_DESCRIBED))
    assert end == len(data)
    return value


def _head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
    return bytes([kind << 5 | 24 + (1, 2, 4, 8).index(size)]) + number.to_bytes(size, "big")


def _decode(data: bytes, at: int) -> tuple[Any, int]:
    kind, number = data[at] >> 5, data[at] & 31
    at += 1
    if number >= 24:
        size = 1 << number - 24
        number, at = int.from_bytes(data[at : at + size], "big"), at + size
    match kind:
        case 0:
            return number, at
        case 1:
            return -1 - number, at
        case 2 | 3:
            return data[at : at + number].decode(), at + number
        case 4:
            return _items(data, at, number)
        case 5:
            flat, at = _items(data, at, 2 * number)
            return dict(zip(flat[::2], flat[1::2], strict=True)), at
        case _:
            return _SIMPLE[number], at


def _items(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, at = _decode(data, at)
        items.append(item)
    return items, at
