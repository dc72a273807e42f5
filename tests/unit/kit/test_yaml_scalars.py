"""Scalars, compared with what kubectl 1.36 makes of the same text (`kubectl label --local -o json`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.kit.yaml_scalars import resolve

KUBECTL = [
    *[(text, True) for text in ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")],
    *[(text, False) for text in ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")],
    *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
    *[(text, text) for text in ("tRUE", "oN", "yES", "nULL", "nan", "inf", "Infinity", "12:30", "190:20:30")],
    *[
        (text, text)
        for text in ("2024-01-01", "2024-01-01T00:00:00Z", "1.2.3", "1a", "0x", "0b", "0b12", "0b2")
    ],
    *[
        (text, text)
        for text in ("+", ".", "..", "1e", "1e+", "0x1p4", "_1", "._5", "1e400", "-1e400", "1,000", "_")
    ],
    *[(text, text) for text in ("0xFFFFFFFFFFFFFFFFFF", "00x1", ".e3")],
    ("0755", 493),
    ("0o17", 15),
    ("0O17", 15),
    ("00", 0),
    ("0x1F", 31),
    ("0X1f", 31),
    ("-0b11", -3),
    ("0b101", 5),
    ("1_000", 1000),
    ("0_7", 7),
    ("1_", 1),
    ("08", 8),
    ("+1", 1),
    ("-0755", -493),
    ("1e3", 1000),
    ("1.0", 1),
    ("1.", 1),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1.5", 1.5),
    ("1e-3", 0.001),
    ("9223372036854775807", 9223372036854775807),
    ("-9223372036854775808", -9223372036854775808),
    ("9223372036854775808", 9223372036854775808),
    ("18446744073709551616", 18446744073709551616),
    ("1e21", 1e21),
    ("0777777777777777777777777", 7.777777777777778e23),
]


@pytest.mark.parametrize(("text", "expected"), KUBECTL)
def test_a_scalar_means_what_it_means_to_kubectl(text: str, expected: object):
    value = resolve(text)
    assert value == expected
    assert isinstance(value, bool) == isinstance(expected, bool)
    assert isinstance(value, str) == isinstance(expected, str)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".inf", "-.inf", "+.INF"])
def test_numbers_that_json_cannot_hold_are_refused(text: str):
    with pytest.raises(ValueError, match="not a number that JSON knows"):
        resolve(text)


def test_endless_digits_cost_nothing():
    assert resolve("9" * 1_000_000) == "9" * 1_000_000


@given(st.text(alphabet="0123456789abcdefxobXOBeE+-._:~ntyNf", max_size=12))
def test_any_text_is_a_scalar_or_refused(text: str):
    try:
        value = resolve(text)
    except ValueError:
        return
    assert value is None or isinstance(value, (str, int, float))
