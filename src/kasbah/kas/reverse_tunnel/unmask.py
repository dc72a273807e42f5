"""Takes the mask off what a WebSocket's client sends: the one part of RFC 6455 that must be fast, so in C."""

from __future__ import annotations

from websockets.utils import apply_mask


def unmask(data: bytes | memoryview, key: bytes) -> bytes:
    """The plain bytes; `key` is four bytes."""
    return bytes(apply_mask(data, key))
