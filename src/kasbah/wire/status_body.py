"""Reads a `Status` body of a cluster, and writes it again with another message and everything else as it was.

JSON, protobuf (`runtime.Unknown` around `metav1.Status`) and CBOR, as API servers write them. Each is cut at the message
and joined again: fields nobody knows yet survive, and a body made by a stranger grows by its message alone. Whatever is
not understood, or has more parts than a `Status` has, is None: then the body passes as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

import msgspec

JSON, YAML = b"application/json", b"application/yaml"
PROTOBUF, CBOR = b"application/vnd.kubernetes.protobuf", b"application/cbor"
_PROTOBUF_MAGIC: Final = b"k8s\x00"
_CBOR_TAG: Final = b"\xd9\xd9\xf7"
_MAX_DEPTH: Final = 16
_MAX_PARTS: Final = 1000
"""Members, fields or items; a `Status` has some dozens."""
_SPACE: Final = re.compile(r"[ \t\n\r]*")
# Go's encoder escapes what a browser could take for markup, and two line ends of JavaScript.
_ESCAPES: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


class StatusBody(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as a cluster told it."""

    message: str
    group: str = ""
    """These three from its `details`."""
    kind: str = ""
    """A resource, as API servers fill it in."""
    name: str = ""
    with_message: Callable[[str], bytes]
    """The whole body with another message."""


def read(content_type: bytes, body: bytes) -> StatusBody | None:
    """The failure in a body of this type; None for anything but a `Status` that was understood whole."""
    media_type = content_type.partition(b";")[0].strip().lower()
    reader = {JSON: _read_json, PROTOBUF: _read_protobuf, CBOR: _read_cbor}.get(media_type)
    try:
        return reader(body) if reader else None
    except (ValueError, IndexError, RecursionError):
        return None


def from_document(document: object, with_message: Callable[[str], bytes]) -> StatusBody | None:
    """The failure in a document that was read already; None when it is no `Status`."""
    if not isinstance(document, dict) or (document.get("kind"), document.get("apiVersion")) != (
        "Status",
        "v1",
    ):
        return None
    message, details = document.get("message"), document.get("details") or {}
    if not isinstance(message, str) or not isinstance(details, dict):
        return None
    group, kind, name = (details.get(key, "") for key in ("group", "kind", "name"))
    if not (isinstance(group, str) and isinstance(kind, str) and isinstance(name, str)):
        return None
    return StatusBody(message=message, group=group, kind=kind, name=name, with_message=with_message)


# JSON.


class _Member(msgspec.Struct, frozen=True, kw_only=True):
    value: Any
    start: int
    end: int
    """Of the value, in the text."""


def _read_json(body: bytes) -> StatusBody | None:
    text = body.decode()
    members = _members(text)
    message = members.get("message")
    if message is None:
        return None

    def write(changed: str) -> bytes:
        quoted = json.dumps(changed, ensure_ascii=False).translate(_ESCAPES)
        return f"{text[: message.start]}{quoted}{text[message.end :]}".encode("utf-8", "replace")

    return from_document({key: member.value for key, member in members.items()}, write)


def _members(text: str) -> dict[str, _Member]:
    """The members of the one object in the text."""
    members: dict[str, _Member] = {}
    at, mark = _past(text, 0, "{"), ","
    while mark == ",":
        key, end = _JSON.raw_decode(text, at)
        if not isinstance(key, str) or key in members or len(members) >= _MAX_PARTS:
            raise ValueError("a key twice, or none, or too many")
        start = _past(text, end, ":")
        value, end = _JSON.raw_decode(text, start)
        members[key] = _Member(value=value, start=start, end=end)
        at = _past(text, end, ",}")
        mark = text[_spaces_end(text, end)]
    if at != len(text):
        raise ValueError("something behind the object")
    return members


def _past(text: str, at: int, marks: str) -> int:
    """Where the text goes on behind one of these marks and the spaces around it."""
    at = _spaces_end(text, at)
    if text[at] not in marks:
        raise ValueError("not JSON")
    return _spaces_end(text, at + 1)


def _spaces_end(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key twice")
    return document


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_JSON: Final = json.JSONDecoder(object_pairs_hook=_without_doubles, parse_constant=_no_number)


# Protobuf.


class _Field(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    start: int
    end: int
    value: bytes
    """Of length-delimited fields; empty for others."""


def _read_protobuf(body: bytes) -> StatusBody | None:
    if not body.startswith(_PROTOBUF_MAGIC):
        return None
    unknown = body[len(_PROTOBUF_MAGIC) :]
    type_meta, raw = _only(unknown, 1), _only(unknown, 2)
    if type_meta is None or raw is None:
        return None
    api_version, kind = _only(type_meta.value, 1), _only(type_meta.value, 2)
    if api_version is None or kind is None or (api_version.value, kind.value) != (b"v1", b"Status"):
        return None
    status = raw.value
    message, details = _only(status, 3), _only(status, 5)
    if message is None:
        return None

    def write(text: str) -> bytes:
        changed = _spliced(status, message, 3, text.encode("utf-8", "replace"))
        return _PROTOBUF_MAGIC + _spliced(unknown, raw, 2, changed)

    inner = details.value if details else b""
    return StatusBody(
        message=message.value.decode(),
        name=_text(inner, 1),
        group=_text(inner, 2),
        kind=_text(inner, 3),
        with_message=write,
    )


def _fields(data: bytes) -> Iterator[_Field]:
    at = parts = 0
    while at < len(data):
        start, parts = at, parts + 1
        if parts > _MAX_PARTS:
            raise ValueError("too many fields")
        tag, at = _varint(data, at)
        value = b""
        match tag & 7:
            case 0:
                _, at = _varint(data, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            case 5:
                at += 4
            case _:
                raise ValueError("a wire type nobody uses")
        if at > len(data):
            raise ValueError("cut off")
        yield _Field(number=tag >> 3, start=start, end=at, value=value)


def _only(data: bytes, number: int) -> _Field | None:
    found = [field for field in _fields(data) if field.number == number]
    if len(found) > 1:
        raise ValueError("a field twice")
    return found[0] if found else None


def _text(data: bytes, number: int) -> str:
    field = _only(data, number)
    return field.value.decode() if field else ""


def _spliced(data: bytes, field: _Field, number: int, value: bytes) -> bytes:
    head = bytes([number << 3 | 2]) + _as_varint(len(value))
    return data[: field.start] + head + value + data[field.end :]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number over 64 bits")


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


# CBOR, as far as Kubernetes uses it: definite lengths, text as byte strings.


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    major: int
    start: int
    end: int
    value: bytes
    """Of strings; empty for others."""
    members: tuple[tuple[_Item, _Item], ...] = ()
    """Of a map."""

    def find(self, key: bytes) -> _Item | None:
        """The one member of this name."""
        found = [value for name, value in self.members if name.value == key]
        if len(found) > 1:
            raise ValueError("a key twice")
        return found[0] if found else None


def _read_cbor(body: bytes) -> StatusBody | None:
    top = _Items(body).read(len(_CBOR_TAG) if body.startswith(_CBOR_TAG) else 0, 0)
    if top.major != 5 or top.end != len(body):
        return None
    message, details = top.find(b"message"), top.find(b"details")
    if message is None or message.major not in {2, 3} or not _is_status(top):
        return None

    def write(text: str) -> bytes:
        value = text.encode("utf-8", "replace")
        return body[: message.start] + _cbor_head(message.major, len(value)) + value + body[message.end :]

    def detail(key: bytes) -> str:
        found = details.find(key) if details else None
        return found.value.decode() if found else ""

    return StatusBody(
        message=message.value.decode(),
        group=detail(b"group"),
        kind=detail(b"kind"),
        name=detail(b"name"),
        with_message=write,
    )


def _is_status(top: _Item) -> bool:
    kind, api_version = top.find(b"kind"), top.find(b"apiVersion")
    return bool(kind and kind.value == b"Status" and api_version and api_version.value == b"v1")


class _Items:
    """Reads items, not endlessly many."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MAX_PARTS

    def read(self, start: int, depth: int) -> _Item:
        """The item that begins there."""
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            raise ValueError("too deep, or too many")
        major, count, at = self._head(start)
        value, members = b"", []
        match major:
            case 2 | 3:
                value, at = self._data[at : at + count], at + count
            case 4:
                for _ in range(count):
                    at = self.read(at, depth + 1).end
            case 5:
                for _ in range(count):
                    key = self.read(at, depth + 1)
                    member = self.read(key.end, depth + 1)
                    members.append((key, member))
                    at = member.end
            case 6:
                at = self.read(at, depth + 1).end
        if at > len(self._data):
            raise ValueError("cut off")
        return _Item(major=major, start=start, end=at, value=value, members=tuple(members))

    def _head(self, at: int) -> tuple[int, int, int]:
        """Major type, number or length, and where the head ends."""
        major, short = self._data[at] >> 5, self._data[at] & 0x1F
        at += 1
        if short < 24:
            return major, short, at
        if short > 27:
            raise ValueError("an indefinite length")
        end = at + (1 << short - 24)
        if end > len(self._data):
            raise ValueError("cut off")
        return major, int.from_bytes(self._data[at:end], "big"), end


def _cbor_head(major: int, length: int) -> bytes:
    if length < 24:
        return bytes([major << 5 | length])
    for short, width in ((24, 1), (25, 2), (26, 4)):
        if length < 1 << 8 * width:
            return bytes([major << 5 | short]) + length.to_bytes(width, "big")
    raise ValueError("a text over 4 GiB")
