"""What a branch may be called: git's rules, and short enough for a file. Pure."""

from __future__ import annotations

import re
from typing import Final

from kasbah.errors import UserError

MAX_BRANCH_BYTES: Final = 244
"""GitLab's figure; a branch is a file, and while it is written one with `.lock` behind its name."""
# git check-ref-format, rules 1 to 10, for one ref below refs/heads/.
_FORBIDDEN_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|^[/.-]|[/.]$|^@$")


class BadBranchNameError(UserError):
    """This cannot be the name of a branch."""


def is_branch_name(name: str) -> bool:
    """Whether git would take the name for a branch (and it is UTF-8, and short enough for a file name)."""
    if not name or _FORBIDDEN_IN_REF.search(name) or any("\ud800" <= letter <= "\udfff" for letter in name):
        return False
    return len(name.encode()) <= MAX_BRANCH_BYTES


def check_branch_name(name: str) -> None:
    """Raise unless this can be a branch's name."""
    if not is_branch_name(name):
        raise BadBranchNameError(f"{name[:80]!r} cannot be a branch's name; see git-check-ref-format")
