"""Events of a watch as an API server writes them, in each encoding."""

from __future__ import annotations

import json

from kasbah.wire.watch import cbor


def json_event(event_type: str, version: int, padding: str = "", **metadata: object) -> bytes:
    """One line."""
    metadata = {"name": "a", "resourceVersion": str(version), **metadata}
    event = {
        "type": event_type,
        "object": {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": padding},
    }
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def json_bookmark(version: int, *, initial_events_end: bool = False) -> bytes:
    """A BOOKMARK; the one behind the initial events when that is said."""
    if initial_events_end:
        return json_event("BOOKMARK", version, annotations={"k8s.io/initial-events-end": "true"})
    return json_event("BOOKMARK", version)


def protobuf_event(event_type: str, version: int, padding: str = "") -> bytes:
    """One `metav1.WatchEvent` behind its length."""
    metadata = _field(1, b"a") + _field(3, b"default") + _field(6, str(version).encode()) + b"\x38\x01"
    thing = _field(1, metadata) + _field(2, padding.encode())
    kind = _field(1, b"v1") + _field(2, b"Pod")
    unknown = b"k8s\x00" + _field(1, kind) + _field(2, thing) + _field(3, b"") + _field(4, b"")
    event = _field(1, event_type.encode()) + _field(2, _field(1, unknown))
    return len(event).to_bytes(4, "big") + event


def cbor_event(event_type: str, version: int, padding: str = "") -> bytes:
    """One CBOR item."""
    metadata: dict[str, object] = {"name": "a", "generation": 300, "resourceVersion": str(version)}
    return cbor.encode({"type": event_type, "object": {"spec": padding, "metadata": metadata}})


def _field(number: int, value: bytes) -> bytes:
    size, length = len(value), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + value
