"""What a project and its default branch may be called."""

from __future__ import annotations

import pytest

from kasbah.hub.projects.model import (
    NewProject,
    NewProtectedBranch,
    ProtectedBranch,
    may_run_on,
    path_from_name,
    protections_of,
)


@pytest.mark.parametrize(
    ("name", "path"),
    [("My App!", "my-app"), (" a  b ", "a-b"), ("v1.2_x", "v1.2_x"), ("Ünï", "n"), ("!!!", "")],
)
def test_a_path_is_made_of_a_name(name, path):
    assert path_from_name(name) == path


@pytest.mark.parametrize("branch", ["main", "release/1.2", "feature/é", "a@b", "x" * 244])
def test_a_good_branch_has_no_problems(branch):
    assert NewProject(name="x", path="x", default_branch=branch).problems("ops") == {}


@pytest.mark.parametrize(
    "branch",
    [
        "",
        "-x",
        "/x",
        "x/",
        "a..b",
        "a//b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?b",
        "a*",
        "a[b",
        "a\\b",
        "a@{1}",
        "@",
        ".x",
        "a/.b",
        "x.",
        "x.lock",
        "x.lock/y",
        "a\x7fb",
        "a\nb",
        "x" * 245,
        "é" * 123,
    ],
)
def test_a_branch_git_would_refuse_is_refused(branch):
    assert set(NewProject(name="x", path="x", default_branch=branch).problems("ops")) == {"default_branch"}


def test_every_problem_is_found():
    assert set(NewProject(name="", path="..", default_branch="").problems("ops")) == {
        "name",
        "path",
        "default_branch",
    }


def protected(name: str, push: int = 40, merge: int = 40) -> ProtectedBranch:
    return ProtectedBranch(
        id=1,
        project_id=1,
        name=name,
        push_access_level=push,
        merge_access_level=merge,
        allow_force_push=False,
    )


@pytest.mark.parametrize(
    ("ref", "names"),
    [
        ("refs/heads/main", ["main", "m*"]),
        ("refs/heads/mother/x", ["m*"]),
        ("refs/heads/other", []),
        ("refs/tags/main", []),
        ("main", []),
    ],
)
def test_a_branch_is_protected_by_every_rule_that_fits(ref, names):
    rules = [protected("main"), protected("m*"), protected("x")]
    assert [rule.name for rule in protections_of(ref, rules)] == names


@pytest.mark.parametrize(
    ("rules", "level", "expected"),
    [
        ([], 20, False),
        ([], 30, True),
        ([protected("x")], 30, False),
        ([protected("x")], 40, True),
        ([protected("x", 0, 30)], 30, True),
        ([protected("x", 30, 0)], 30, True),
        ([protected("x", 0, 0)], 50, False),
        ([protected("x", 60, 60)], 50, False),
        ([protected("x"), protected("*", 30)], 30, True),
        ([protected("y")], 30, True),
    ],
)
def test_who_may_push_or_merge_may_run_jobs(rules, level, expected):
    assert may_run_on("refs/heads/x", rules, level=level) is expected


@pytest.mark.parametrize(("level", "expected"), [(0, False), (60, True), (40, True)])
def test_administrators_may_unless_nobody_may(level, expected):
    rules = [protected("x", level, level)]
    assert may_run_on("refs/heads/x", rules, level=50, is_admin=True) is expected


@pytest.mark.parametrize("name", ["main", "release/*", "*", "*-stable", "a*b"])
def test_names_and_patterns_of_branches_are_taken(name):
    assert NewProtectedBranch(name=name).problems() == []


@pytest.mark.parametrize("name", ["", " ", "a b", "a..b", "a/", "x" * 256, "a\nb"])
def test_what_no_branch_is_called_is_refused(name):
    assert len(NewProtectedBranch(name=name).problems()) == 1
