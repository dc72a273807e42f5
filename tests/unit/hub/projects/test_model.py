"""What a project and its default branch may be called."""

from __future__ import annotations

import pytest

from kasbah.hub.projects.model import NewProject, path_from_name


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
