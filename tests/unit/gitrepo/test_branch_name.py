"""Which names git takes for a branch."""

from __future__ import annotations

import pytest

from kasbah.gitrepo.branch_name import BadBranchNameError, check_branch_name, is_branch_name


@pytest.mark.parametrize("name", ["main", "feature/a", "ünï", "a" * 244, "--exec=id", "a.b", "@a"])
def test_names_git_takes_are_branch_names_but_for_a_leading_dash(name):
    assert is_branch_name(name) == (not name.startswith("-"))


FORBIDDEN_INSIDE = ["a..b", "a b", "a~", "a^", "a:b", "a?", "a*", "a[", "a\\b", "@{", "a@{b", "a\nb", "a\x7f"]
FORBIDDEN_ENDS = ["", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "@", "é" * 123, "\udcff"]


@pytest.mark.parametrize("name", [*FORBIDDEN_INSIDE, *FORBIDDEN_ENDS])
def test_names_git_refuses_are_refused(name):
    with pytest.raises(BadBranchNameError):
        check_branch_name(name)
