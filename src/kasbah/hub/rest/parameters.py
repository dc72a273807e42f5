"""What a request asks with: loose values from path, query and body, read into a declared record.

The record is a frozen `msgspec.Struct`; the reader follows Grape: text, numbers and booleans are taken in any of their
spellings, a list also as `"a,b"`, and everything wrong is named at once (`name is missing, page is invalid`). Pure.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from kasbah.errors import UserError

P = TypeVar("P", bound=msgspec.Struct)

Json = Any
"""A JSON value of any shape: the handler looks closer."""

_TRUE: Final = frozenset({"true", "t", "1", "yes", "y", "on"})
_FALSE: Final = frozenset({"false", "f", "0", "no", "n", "off"})
_LARGEST_INTEGER: Final = 2**63 - 1


class ParametersError(UserError):
    """Parameters are missing or cannot be understood; all of them are named."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(", ".join(problems))


class _WrongError(Exception):
    """One value; the text is what follows its name."""


class _NoValue:
    """The value stands for nothing: the default applies."""


_NO_VALUE: Final = _NoValue()
_Reader = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    required: bool
    read: _Reader


def read(record_type: type[P], values: Mapping[str, object]) -> P:
    """The record made of the values it declares; others are ignored.

    Raises:
        ParametersError: something is missing or wrong.
    """
    found: dict[str, Any] = {}
    problems = []
    for field in _fields(record_type):
        if field.name not in values:
            if field.required:
                problems.append(f"{field.name} is missing")
            continue
        try:
            value = field.read(values[field.name])
        except _WrongError as error:
            problems.append(f"{field.name} {error}")
            continue
        if value is not _NO_VALUE:
            found[field.name] = value
        elif field.required:
            problems.append(f"{field.name} is invalid")
    if problems:
        raise ParametersError(problems)
    return record_type(**found)


@cache
def _fields(record_type: type[msgspec.Struct]) -> tuple[_Field, ...]:
    hints = get_type_hints(record_type)
    return tuple(
        _Field(field.encode_name, field.required, _reader(hints[field.name]))
        for field in msgspec.structs.fields(record_type)
    )


def _reader(hint: Any) -> _Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return _or_null(_reader(next(one for one in arguments if one is not type(None))))
    if origin is Literal:
        return _one_of(arguments)
    if origin is list:
        return _list_of(_reader(arguments[0]))
    return _READERS[hint]


def _or_null(inner: _Reader) -> _Reader:
    return lambda value: None if value is None else inner(value)


def _one_of(choices: tuple[object, ...]) -> _Reader:
    inner = _integer if isinstance(choices[0], int) else _text

    def choose(value: object) -> object:
        chosen = inner(value)
        if chosen not in choices:
            raise _WrongError("does not have a valid value")
        return chosen

    return choose


def _list_of(inner: _Reader) -> _Reader:
    def read_list(value: object) -> object:
        if isinstance(value, str):
            value = [part for part in (piece.strip() for piece in value.split(",")) if part]
        if not isinstance(value, list):
            raise _WrongError("is invalid")
        return [inner(one) for one in value]

    return read_list


def _text(value: object) -> object:
    if value is None:
        return ""  # the rules of the record say that it must not be blank, in its own words
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str) or "\0" in value:
        raise _WrongError("is invalid")
    return value


def _integer(value: object) -> object:
    if value is None or value == "":
        return _NO_VALUE
    if isinstance(value, str) and len(value) < 20 and value.removeprefix("-").isdecimal() and value.isascii():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST_INTEGER:
        raise _WrongError("is invalid")
    return value


def _boolean(value: object) -> object:
    if value is None or value == "":
        return _NO_VALUE
    text = str(value).lower() if isinstance(value, bool | int | str) else ""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise _WrongError("is invalid")


def _date(value: object) -> object:
    if value is None or value == "":
        return _NO_VALUE
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) and len(value) <= 32 else _refuse()
    except ValueError as error:
        raise _WrongError("is invalid") from error


def _refuse() -> object:
    raise _WrongError("is invalid")


def _json(value: object) -> object:
    return value


_READERS: Final[Mapping[object, _Reader]] = {
    str: _text,
    int: _integer,
    bool: _boolean,
    date: _date,
    Any: _json,
}
