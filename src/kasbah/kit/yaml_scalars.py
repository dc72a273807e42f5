"""Plain YAML scalars as kubectl reads them: YAML 1.1's words, JSON's types.

kubectl, helm and GitLab's kas read YAML with the same Go library, and no Python loader agrees with it, so the rules
are written down here once: `yes` is true, `0755` is 493, `1_000` is 1000, `12:30` and `2024-01-01` are strings.
"""

from __future__ import annotations

import re
from typing import Final

Scalar = str | int | float | bool | None

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<binary>[01]+)|0[oO]?(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*))"
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BASES: Final = {"hex": 16, "binary": 2, "octal": 8, "decimal": 10}
_MAX_DIGITS: Final = 400
"""More digits than a double can mean anything by; the text stays a string, as it does where parsing overflows."""
_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)
_INTEGRAL_BELOW: Final = 1e21
"""Go writes a float without a fraction as an integer up to here."""


def resolve(text: str) -> Scalar:
    """What a plain scalar means.

    Raises:
        ValueError: it is a number that JSON cannot hold.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _MAX_DIGITS:
        return text
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a number that JSON knows")
    digits = text if text.startswith("._") else text.replace("_", "")
    number: int | float | None = _integer(digits)
    if number is None and _FLOAT.fullmatch(digits):
        number = _float(digits)
    return text if number is None else number


def _integer(digits: str) -> int | None:
    match = _INTEGER.fullmatch(digits)
    if match is None:
        return None
    base = str(match.lastgroup)
    value = int(match["sign"] + match[base], _BASES[base])
    if value in _INT64:
        return value
    return int(float(value)) if value in _UINT64 else None


def _float(digits: str) -> int | float | None:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        return None
    return int(value) if value.is_integer() and abs(value) < _INTEGRAL_BELOW else value
