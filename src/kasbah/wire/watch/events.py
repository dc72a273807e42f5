"""What must be known of one whole event: its type and the version it brings; one reader for each encoding.

Nothing else of an event is decoded, and nothing of it is changed.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

from kasbah.wire.watch import cbor

INITIAL_EVENTS_END: Final = b"k8s.io/initial-events-end"
"""The annotation of the BOOKMARK behind the initial events; nothing that people name can stand in a BOOKMARK."""
_TYPES: Final = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"})
_KUBERNETES_MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_SHIFT: Final = 63


class UnreadableEventError(ValueError):
    """This is no event of a watch as Kubernetes sends it."""


class DeepEventError(ValueError):
    """Whole, and nested deeper than anybody here reads: an object may be, where its type leaves fields unchecked."""


class Event(NamedTuple):
    """One event of a watch."""

    type: str
    version: str
    """Empty in an ERROR."""


class _Metadata(msgspec.Struct, gc=False):
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Object(msgspec.Struct, gc=False):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Row(msgspec.Struct, gc=False):
    object: _Object | None = None


class _JsonEvent(msgspec.Struct, gc=False):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: _Object


class _Table(msgspec.Struct, gc=False):
    """Of old servers: the Table names no version, the objects of its rows do."""

    rows: list[_Row] = msgspec.field(default_factory=list)


class _TableEvent(msgspec.Struct, gc=False):
    object: _Table


_json: Final = msgspec.json.Decoder(_JsonEvent)
_json_table: Final = msgspec.json.Decoder(_TableEvent)


def read_json(event: bytes) -> Event:
    """The event in one line.

    Raises:
        DeepEventError: nobody can say.
        UnreadableEventError: it is none.
    """
    try:
        read = _json.decode(event)
        version = read.object.metadata.resource_version
        if not version and read.type != "ERROR":
            version = _version_of_rows(event)
    except RecursionError as error:
        raise DeepEventError("nested too deep") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableEventError(str(error)) from error
    return _checked(read.type, version)


def _version_of_rows(event: bytes) -> str:
    """A Table's row names the object that it shows."""
    rows = _json_table.decode(event).object.rows
    first = rows[0].object if rows else None
    return first.metadata.resource_version if first else ""


def read_protobuf(event: bytes) -> Event:
    """The `metav1.WatchEvent` behind its four bytes of length: type, and an object inside two envelopes.

    Raises:
        UnreadableEventError: it is none.
    """
    try:
        kind, position, end = _field(event, 1, 4, len(event))
        event_type = event[position:end].decode() if kind else ""
        _, position, end = _field(event, 2, 4, len(event))
        _, position, end = _field(event, 1, position, end)  # RawExtension.raw
        if event[position : position + 4] != _KUBERNETES_MAGIC:
            raise UnreadableEventError("an object without Kubernetes' magic number")
        if event_type == "ERROR":
            return Event(event_type, "")
        _, position, end = _field(event, 2, position + 4, end)  # Unknown.raw
        _, position, end = _field(event, 1, position, end)  # the object's metadata
        _, position, end = _field(event, 6, position, end)  # its resourceVersion
        return _checked(event_type, event[position:end].decode())
    except (IndexError, UnicodeDecodeError) as error:
        raise UnreadableEventError("torn protobuf") from error


def _field(data: bytes, wanted: int, position: int, end: int) -> tuple[bool, int, int]:
    """Whether there is such a field of bytes in data[position:end], and where it begins and ends; empty when not."""
    while position < end:
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _BYTES:
            size, position = _varint(data, position)
            if position + size > end:
                raise UnreadableEventError("a protobuf field that goes past its message")
            if tag >> 3 == wanted:
                return True, position, position + size
            position += size
        elif kind == _VARINT:
            _, position = _varint(data, position)
        elif kind in {_FIXED32, _FIXED64}:
            position += 4 if kind == _FIXED32 else 8
        else:
            raise UnreadableEventError("an unknown protobuf field")
    return False, end, end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = data[position]
    position += 1
    if value < 0x80:
        return value, position
    value &= 0x7F
    for shift in range(7, _MAX_SHIFT + 1, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise UnreadableEventError("a protobuf number without an end")


def read_cbor(event: bytes) -> Event:
    """The event in one CBOR item.

    Raises:
        UnreadableEventError: it is none.
    """
    try:
        found = cbor.texts(event, (("type",), ("object", "metadata", "resourceVersion")))
    except cbor.UnreadableCborError as error:
        raise UnreadableEventError(str(error)) from error
    return _checked(found[0], found[1])


def _checked(event_type: str, version: str) -> Event:
    if event_type not in _TYPES:
        raise UnreadableEventError("an event of unknown type")
    if event_type == "ERROR":
        return Event(event_type, "")
    if not version:
        raise UnreadableEventError("an event without a version")
    return Event(event_type, version)
