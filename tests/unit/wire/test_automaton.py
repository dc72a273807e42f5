"""Tables of a stream's order, and the walk through one."""

from __future__ import annotations

import pytest

from kasbah.wire.automaton import END, START, Walk, automaton
from kasbah.wire.rpc import RpcError, StatusCode

TABLE = automaton("header", header="data trailer", data="data trailer", trailer="EOF")


def test_words_become_a_table():
    assert TABLE[START] == {"header"}
    assert TABLE["trailer"] == {END}


def test_an_arm_that_lists_itself_repeats():
    walk = Walk(TABLE)
    for arm in ("header", "data", "data", "data", "trailer"):
        walk.step(arm)
    walk.end()


@pytest.mark.parametrize("arm", ["data", "trailer", "unheard of", None])
def test_what_may_not_come_here_is_refused_by_name(arm: str | None):
    with pytest.raises(RpcError, match="may not follow the start; allowed: header") as caught:
        Walk(TABLE).step(arm)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


def test_the_end_is_refused_where_something_is_missing():
    walk = Walk(TABLE)
    walk.step("header")
    with pytest.raises(RpcError, match="the end may not follow header; allowed: data, trailer"):
        walk.end()


def test_behind_the_last_arm_nothing_is_allowed_but_the_end():
    walk = Walk(TABLE)
    for arm in ("header", "trailer"):
        walk.step(arm)
    with pytest.raises(RpcError, match="trailer may not follow trailer; allowed: the end"):
        walk.step("trailer")
