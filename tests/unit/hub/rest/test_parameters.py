"""Loose values become a record, or all problems are named at once."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.hub.rest.parameters import Json, ParametersError, read


class Everything(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    count: int = 1
    flag: bool = False
    day: date | None = None
    scopes: list[Literal["a", "b"]] = []
    level: Literal[10, 20] = 10
    note: str | None = "default"
    anything: Json = None


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ({"name": 5}, "name", "5"),
        ({"name": None}, "name", ""),
        ({"name": True}, "name", "true"),
        ({"name": "x", "count": "-12"}, "count", -12),
        ({"name": "x", "count": ""}, "count", 1),
        ({"name": "x", "flag": "on"}, "flag", True),
        ({"name": "x", "flag": 0}, "flag", False),
        ({"name": "x", "flag": None}, "flag", False),
        ({"name": "x", "day": "2026-03-01"}, "day", date(2026, 3, 1)),
        ({"name": "x", "day": "2026-03-01T00:00:00Z"}, "day", date(2026, 3, 1)),
        ({"name": "x", "day": ""}, "day", None),
        ({"name": "x", "scopes": "a, b"}, "scopes", ["a", "b"]),
        ({"name": "x", "scopes": ["b"]}, "scopes", ["b"]),
        ({"name": "x", "level": "20"}, "level", 20),
        ({"name": "x", "note": None}, "note", None),
        ({"name": "x"}, "note", "default"),
        ({"name": "x", "anything": {"deep": [1]}}, "anything", {"deep": [1]}),
    ],
)
def test_every_spelling_is_read(values, field, expected):
    assert getattr(read(Everything, values), field) == expected


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "name is missing"),
        ({"name": ["x"]}, "name is invalid"),
        ({"name": "a\0b"}, "name is invalid"),
        ({"count": "x", "name": "x"}, "count is invalid"),
        ({"count": 1.5, "name": "x"}, "count is invalid"),
        ({"count": True, "name": "x"}, "count is invalid"),
        ({"count": 2**63, "name": "x"}, "count is invalid"),
        ({"count": "9" * 5000, "name": "x"}, "count is invalid"),
        ({"count": "²", "name": "x"}, "count is invalid"),
        ({"flag": "maybe", "name": "x"}, "flag is invalid"),
        ({"flag": [], "name": "x"}, "flag is invalid"),
        ({"day": "yesterday", "name": "x"}, "day is invalid"),
        ({"day": 7, "name": "x"}, "day is invalid"),
        ({"scopes": ["c"], "name": "x"}, "scopes does not have a valid value"),
        ({"scopes": {"a": 1}, "name": "x"}, "scopes is invalid"),
        ({"level": 15, "name": "x"}, "level does not have a valid value"),
        ({"level": "", "name": "x"}, "level does not have a valid value"),
        ({"count": "x", "day": 7}, "name is missing, count is invalid, day is invalid"),
    ],
)
def test_everything_wrong_is_named(values, problem):
    with pytest.raises(ParametersError) as refused:
        read(Everything, values)
    assert str(refused.value) == problem


class OnlyNumber(msgspec.Struct, frozen=True):
    agent_id: int


def test_a_required_number_without_a_value_is_invalid():
    with pytest.raises(ParametersError, match="agent_id is invalid"):
        read(OnlyNumber, {"agent_id": ""})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(list(Everything.__struct_fields__)), json_values))
def test_nothing_but_a_record_or_a_refusal_comes_out(values):
    try:
        record = read(Everything, values)
    except ParametersError:
        return
    assert isinstance(record.name, str)
    assert isinstance(record.count, int)
