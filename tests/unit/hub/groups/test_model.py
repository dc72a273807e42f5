"""Paths, names and roles."""

from __future__ import annotations

import pytest

from kasbah.hub.groups.model import Role, name_problems, path_problems, role_symbols


@pytest.mark.parametrize("path", ["ops", "Ops-2", "a.b_c", "_x", "0", "p" * 255])
def test_a_good_path_has_no_problems(path):
    assert path_problems(path) == []


@pytest.mark.parametrize(
    "path",
    ["..", ".", ".hidden", "-x", "a..b", "a/b", "a b", "end.git", "end.atom", "dot.", "é", "a\n", "a\0"],
)
def test_a_path_that_could_mislead_is_refused(path):
    assert path_problems(path)


@pytest.mark.parametrize(
    ("path", "parent", "problem"),
    [
        ("", "", "can't be blank"),
        ("p" * 256, "", "is too long (maximum is 255 characters)"),
        ("p" * 128, "q" * 127, "is too long with all its groups (maximum is 255 characters)"),
        ("API", "", "API is a reserved name"),
        ("tree", "ops", "tree is a reserved name"),
    ],
)
def test_the_problem_is_named(path, parent, problem):
    assert path_problems(path, parent) == [problem]


def test_a_name_is_reserved_where_it_would_be_in_the_way():
    assert path_problems("tree") == []
    assert path_problems("api", "ops") == []


@pytest.mark.parametrize("name", ["", "  ", "n" * 256, "a\nb", "a\x1b[31m"])
def test_a_name_that_cannot_be_shown_is_refused(name):
    assert name_problems(name)


def test_a_role_names_those_below_it():
    assert role_symbols(Role.DEVELOPER) == ["guest", "reporter", "developer"]
    assert role_symbols(Role.PLANNER) == ["guest"]
    assert role_symbols(Role.OWNER)[-1] == "owner"
    assert role_symbols(0) == []
