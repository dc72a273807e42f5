"""Header lines as maps and back: Go's spelling going out, any spelling coming in, nothing that could split a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode

MAX_HEADER_MESSAGE_BYTES: Final = 128 * 1024
"""The longest message that may hold a head: twice the longest head."""
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What belongs to one connection and not to the message."""
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def header_map(lines: Iterable[bytes]) -> dict[str, Values]:
    """Lines of a head of ours, without line ends, as Go's peers want them."""
    headers: dict[str, Values] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers.setdefault(canonical(name), Values()).value.append(text(value.strip(b" \t")))
    return headers


def header_lines(headers: Mapping[str, Values], dropped: frozenset[str]) -> list[str]:
    """The lines of a head, without line ends, in order of the names; those of the connection and `dropped` are left out.

    Raises:
        RpcError: INVALID_ARGUMENT: what the peer sent are no headers.
    """
    tokens = {name: _token(name) for name in headers}
    if not HOP_BY_HOP.isdisjoint(tokens.values()):
        dropped = HOP_BY_HOP | dropped | _options(headers)
    lines = [
        f"{name}: {value}"
        for name, token in sorted(tokens.items())
        if token not in dropped
        for value in headers[name].value
    ]
    if _CONTROL.search("".join(lines)):
        raise RpcError(StatusCode.INVALID_ARGUMENT, "a header holds a control character")
    return lines


def values_of(headers: Mapping[str, Values], wanted: str) -> list[str]:
    """All values of a header by its lower-case name, whatever its spelling."""
    return [value for name, values in headers.items() if name.lower() == wanted for value in values.value]


def _options(headers: Mapping[str, Values]) -> frozenset[str]:
    """The names that `Connection` claims for the connection."""
    return frozenset(
        option.strip().lower() for value in values_of(headers, "connection") for option in value.split(",")
    )


@lru_cache(maxsize=512)
def canonical(name: bytes) -> str:
    """The name as Go spells it: capitals first and behind each hyphen, the rest small."""
    return "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))


def text(value: bytes) -> str:
    """The value as UTF-8; bytes that are none are read as Latin-1, because one such value would fail the message."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@lru_cache(maxsize=512)
def _token(name: str) -> str:
    """The name in lower case."""
    if not _TOKEN.fullmatch(name):
        raise RpcError(StatusCode.INVALID_ARGUMENT, "a header's name is not a token")
    return name.lower()
