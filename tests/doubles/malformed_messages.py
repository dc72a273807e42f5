"""Every way in which one protobuf message can be wrong, made from its descriptor; and one in which everything is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_SCALARS: Final[dict[int, Any]] = {
    FieldDescriptor.CPPTYPE_STRING: "x",
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: 1.0,
    FieldDescriptor.CPPTYPE_FLOAT: 1.0,
}
_VALUES: Final = {0: b"\x01", 1: bytes(8), 2: b"\x02\x08\x01", 3: b"", 5: bytes(4)}
"""By wire type: something of that type."""


def full(message: Message, depth: int = 4) -> Message:
    """The message with something in every field; of a oneof the last one stays."""
    for field in _fields(message):
        if not _is_map(field) and (field.message_type is None or depth):
            _fill(message, field, depth)
    return message


def _fill(message: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None:
        inner = getattr(message, field.name)
        full(inner.add() if field.is_repeated else inner, depth - 1)
        if not field.is_repeated:
            inner.SetInParent()
        return
    value = b"x" if field.type == FieldDescriptor.TYPE_BYTES else _SCALARS.get(field.cpp_type, 1)
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def _fields(message: Message | type[Message]) -> list[FieldDescriptor]:
    return cast("list[FieldDescriptor]", list(message.DESCRIPTOR.fields))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def malformed(message_type: type[Message], depth: int = 3) -> dict[str, bytes]:
    """Serialized messages by what is wrong with each, or odd; `depth` messages inside each other, too."""
    found = dict(_of(message_type))
    for field in _fields(message_type):
        if field.message_type is not None and depth > 1:
            inner = message_factory.GetMessageClass(field.message_type)
            for what, said in malformed(inner, depth - 1).items():
                found[f"{field.name}: {what}"] = _tag(field.number, 2) + _varint(len(said)) + said
    return found


def _of(message_type: type[Message]) -> Iterator[tuple[str, bytes]]:
    whole = full(message_type()).SerializeToString()
    yield "nothing", b""
    yield "everything", whole
    yield "everything twice", whole * 2
    yield "cut short", whole[:-1]
    yield "cut in half", whole[: len(whole) // 2]
    yield "a field nobody knows", whole + _tag(19_000, 2) + b"\x03abc"
    yield "field number 0", b"\x02\x01x"
    for kind in (4, 6, 7):
        yield f"wire type {kind}", _tag(1, kind)
    yield "a length beyond the end", _tag(1, 2) + b"\xff\xff\xff\xff\x07"
    yield "a varint without end", _tag(1, 0) + b"\xff" * 11
    yield "groups in groups", _tag(1, 3) * 20_000
    yield "groups of nobody in groups", _tag(18_000, 3) * 20_000
    yield "noise", bytes(range(256))
    for field in _fields(message_type):
        yield from _of_field(message_type, field)


def _of_field(message_type: type[Message], field: FieldDescriptor) -> Iterator[tuple[str, bytes]]:
    message = full(message_type())
    message.ClearField(field.name)
    yield f"without {field.name}", message.SerializeToString()
    alone = message_type()
    if not _is_map(field):
        _fill(alone, field, 4)
    said = alone.SerializeToString()
    yield f"only {field.name}", said
    yield f"{field.name} twice", said * 2
    for kind, value in _VALUES.items():
        yield f"{field.name} as wire type {kind}", _tag(field.number, kind) + value
    yield f"{field.name} empty", _tag(field.number, 2) + b"\0"
    yield f"{field.name} not UTF-8", _tag(field.number, 2) + b"\x02\xff\xfe"
    yield f"{field.name} very deep", _deep(field.number)
    yield f"{field.name} largest", _tag(field.number, 0) + b"\xff" * 9 + b"\x01"


def _deep(number: int) -> bytes:
    """The field in itself in itself: for what it is not, noise."""
    inner = b""
    for _ in range(1000):
        inner = _tag(number, 2) + _varint(len(inner)) + inner
    return inner


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
