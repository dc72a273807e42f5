"""Scalars of the configuration file that protobuf's JSON writes in its own way, and the ones GitLab gives a rule.

Each is a type of its own, so a record's field says the rule by its annotation. `decode` is msgspec's `dec_hook`.
"""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

Uint32 = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
"""A number of 32 bits without a sign."""
Text1 = Annotated[str, msgspec.Meta(min_length=1)]
"""A text that is not empty."""
WITHOUT_EFFECT: Final = msgspec.Meta(extra={"without_effect": True})
"""Marks a key of GitLab's that is taken and has nothing to govern here."""

_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s")


class Duration(float):
    """Seconds, none or more; written `300s` or `0.5s`."""


class PositiveDuration(Duration):
    """Seconds, more than none."""


class Uri(str):
    """An absolute http or https URL; a path is kept, and nothing may follow it."""

    __slots__ = ()


def decode(kind: type, value: object) -> object:
    """Make one of the types above.

    Raises:
        ValueError: the value is not one.
    """
    if issubclass(kind, Duration):
        return _duration(kind, value)
    if issubclass(kind, Uri):
        return _uri(value)
    raise NotImplementedError


def _duration(kind: type[Duration], value: object) -> Duration:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration in seconds, such as 300s or 0.5s")
    seconds = kind(match[1])
    if seconds <= 0 and issubclass(kind, PositiveDuration):
        raise ValueError("expected a duration longer than 0s")
    return seconds


def _uri(value: object) -> Uri:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        good = parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname)
        good = good and parts is not None and (parts.port or 1) > 0 and not (parts.query or parts.fragment)
    except ValueError:  # a port or an address in brackets that is none
        good = False
    if not good or not str(value).isprintable() or " " in str(value):
        raise ValueError("expected a URL such as https://git.example.com")
    return Uri(value)
