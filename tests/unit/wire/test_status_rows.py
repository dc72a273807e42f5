from __future__ import annotations

import pytest

from kasbah.wire.status_rows import below, printable, rows


def test_values_stand_under_each_other_and_empty_rows_are_left_out():
    assert rows([("you", "mia"), ("nothing", ""), ("acting as", "x y")]) == "you        mia\nacting as  x y"


def test_a_long_value_is_wrapped_between_words_and_never_within_one():
    group = "gitlab:group_role:1:developer"
    told = rows([("in groups", ", ".join([group] * 4)), ("you", "x" * 300)])
    assert told.splitlines() == [
        f"in groups  {group}, {group},",
        f"           {group}, {group}",
        "you        " + "x" * 300,
    ]


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x00", "\u202e", "\u200b", "\x9b"])
def test_nothing_a_terminal_would_obey_is_told(character):
    assert printable(f"a{character}b") == "a?b"


def test_no_value_is_endless():
    assert len(printable("x" * 10_000)) == 2001


def test_the_text_stays_first_and_empty_blocks_are_left_out():
    assert below("said", "", "a", "b") == "said\n\na\n\nb"
    assert below("said", "") == "said"


def test_no_rows_are_no_text():
    assert rows([("a", "")]) == ""
