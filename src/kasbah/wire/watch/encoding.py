"""The encodings of a watch, by the content type of its answer: how it is cut, read, and told of a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from kasbah.wire import kubernetes_status
from kasbah.wire.kubernetes_status import Failure
from kasbah.wire.watch import cbor
from kasbah.wire.watch.events import Event, read_cbor, read_json, read_protobuf
from kasbah.wire.watch.framing import CborScanner, LengthScanner, LineScanner, Scanner

_PROTOBUF: Final = b"application/vnd.kubernetes.protobuf"


class Encoding(NamedTuple):
    """One way to write the events of a watch."""

    scanner: Callable[[], Scanner]
    read: Callable[[bytes], Event]
    """Raises `DeepEventError` or `UnreadableEventError`."""
    error_event: Callable[[Failure], bytes]
    """A whole ERROR event that says this."""


def find_encoding(content_type: bytes) -> Encoding | None:
    """The encoding of an answer of this content type, or None when it cannot be followed."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    if media_type == b"application/json":
        return JSON
    if media_type == _PROTOBUF and b"stream=watch" in parameters:
        return PROTOBUF
    return CBOR if media_type == b"application/cbor-seq" else None


def _json_error(failure: Failure) -> bytes:
    status = kubernetes_status.render(failure, accept=b"application/json", user_agent=b"")
    return b'{"type":"ERROR","object":%b}\n' % status.body.rstrip()


def _protobuf_error(failure: Failure) -> bytes:
    status = kubernetes_status.render(failure, accept=_PROTOBUF, user_agent=b"").body
    event = _field(1, b"ERROR") + _field(2, _field(1, status))
    return len(event).to_bytes(4, "big") + event


def _field(number: int, value: bytes) -> bytes:
    size, length = len(value), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + value


def _cbor_error(failure: Failure) -> bytes:
    return cbor.encode({"type": "ERROR", "object": kubernetes_status.document(failure)})


JSON: Final = Encoding(LineScanner, read_json, _json_error)
PROTOBUF: Final = Encoding(LengthScanner, read_protobuf, _protobuf_error)
CBOR: Final = Encoding(CborScanner, read_cbor, _cbor_error)
