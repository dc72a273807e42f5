"""Tells where two sights differ, and shows no more of them than that."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

_AROUND = 60
_NOTHING = object()


def differences(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """One line for each place."""
    if one == other:
        return
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=str):
            yield from differences(one.get(key, _NOTHING), other.get(key, _NOTHING), f"{at}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        for index, (left, right) in enumerate(zip_longest(one, other, fillvalue=_NOTHING)):
            yield from differences(left, right, f"{at}[{index}]")
    else:
        yield f"{at or 'all'}: directly {_part(one, other)}, through kas {_part(other, one)}"


def _part(one: Any, other: Any) -> str:
    """The value, or what of it begins to differ."""
    if one is _NOTHING:
        return "nothing"
    text: Any = one if isinstance(one, bytes | str) else repr(one)
    against: Any = other if type(other) is type(text) else type(text)()
    begin = max(0, _common(text, against) - _AROUND)
    return f"{'…' if begin else ''}{text[begin : begin + 4 * _AROUND]!r}"


def _common(one: Any, other: Any) -> int:
    """How long both are alike."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
