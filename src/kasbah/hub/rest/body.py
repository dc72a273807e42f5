"""Bodies and queries as loose values: JSON, form and multipart mean the same.

Bounded before anything is parsed, and parsed without recursion but for JSON, whose depth msgspec bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from kasbah.errors import UserError

MAX_BYTES: Final = 1024 * 1024
_MAX_FIELDS: Final = 1000
_NESTED = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)
_PART_NAME = re.compile(rb'\bname="([^"]*)"', re.IGNORECASE)

Values = dict[str, object]


class BodyTooLargeError(UserError):
    """The request body is larger than this route takes."""


class BodyFormatError(UserError):
    """message body does not match declared format"""


class MediaTypeError(UserError):
    """The body is of a type that carries no parameters."""


async def read_values(request: Request, max_bytes: int) -> Values:
    """The parameters in the body of a request.

    Raises:
        BodyTooLargeError: more than `max_bytes`; the rest is not read.
        BodyFormatError: not what its Content-Type says.
        MediaTypeError: a Content-Type we have no reader for.
    """
    body = await _read(request, max_bytes)
    if not body:
        return {}
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json":
        return _json(body)
    if media_type in {"", "application/x-www-form-urlencoded"}:
        return parse_form(body)
    if media_type == "multipart/form-data":
        return _multipart(body, content_type)
    raise MediaTypeError(f"The provided content-type '{media_type[:100]}' is not supported.")


async def _read(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared[:20]) > max_bytes:
        raise BodyTooLargeError
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > max_bytes:
            raise BodyTooLargeError
    return bytes(received)


def _json(body: bytes) -> Values:
    try:
        return msgspec.json.decode(body, type=Values)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyFormatError from error


def parse_form(encoded: bytes) -> Values:
    """`a=1&b[]=2&b[]=3&c[d]=4` as {"a": "1", "b": ["2", "3"], "c": {"d": "4"}}."""
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise BodyFormatError from error
    return _nested(pairs)


def _nested(pairs: Iterable[tuple[str, str]]) -> Values:
    values: Values = {}
    for key, text in pairs:
        nested = _NESTED.fullmatch(key)
        if nested is None:
            values[key] = text
            continue
        name, inner = nested.groups()
        if inner:
            held = values.setdefault(name, {})
            if isinstance(held, dict):
                held[inner] = text
        else:
            listed = values.setdefault(name, [])
            if isinstance(listed, list):
                listed.append(text)
    return values


def _multipart(body: bytes, content_type: str) -> Values:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise BodyFormatError
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:]
    if len(parts) > _MAX_FIELDS or not parts or not parts[-1].startswith(b"--"):
        raise BodyFormatError
    return _nested(_part(part) for part in parts[:-1])


def _part(part: bytes) -> tuple[str, str]:
    head, separator, content = part.partition(b"\r\n\r\n")
    name = _PART_NAME.search(head)
    if not separator or name is None:
        raise BodyFormatError
    try:
        return name[1].decode(), content.decode()
    except UnicodeDecodeError as error:
        raise BodyFormatError from error
