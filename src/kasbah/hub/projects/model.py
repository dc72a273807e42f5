"""Projects, and what one may be called. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kasbah.gitrepo.branch_name import is_branch_name
from kasbah.hub.groups.model import Role, Visibility, name_problems, path_problems
from kasbah.hub.wildcards import matches

DEFAULT_BRANCH: Final = "main"
MOST_PROTECTED_BRANCHES: Final = 500
"""Of one project: each job is judged by all of them."""
NO_ONE: Final = 0
ADMINISTRATORS: Final = 60
"""The levels of a protected branch that are no roles."""
BRANCH_REF: Final = "refs/heads/"

_SLUG_GAPS = re.compile(r"[^a-zA-Z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project without its repository, which is found by its number."""

    id: int
    namespace_id: int
    name: str
    path: str
    full_path: str
    description: str | None
    visibility: Visibility
    default_branch: str
    archived: bool
    creator_id: int | None
    created_at: datetime
    updated_at: datetime
    last_activity_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProject:
    """What is asked for; `problems` says what is wrong with it."""

    name: str
    path: str
    namespace_id: int | None = None
    """None: the caller's own namespace."""
    description: str | None = None
    visibility: Visibility = "private"
    default_branch: str = DEFAULT_BRANCH

    def problems(self, namespace_path: str) -> dict[str, list[str]]:
        """Sentences by field, of the project below this namespace; empty when all is well."""
        fields = {
            "name": name_problems(self.name),
            "path": path_problems(self.path, namespace_path),
            "default_branch": _branch_problems(self.default_branch),
        }
        return {name: problems for name, problems in fields.items() if problems}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedBranch:
    """A branch, or all whose names fit a pattern, that only some may push to."""

    id: int
    project_id: int
    name: str
    """May hold `*`."""
    push_access_level: int
    merge_access_level: int
    allow_force_push: bool

    def admits(self, level: int, *, is_admin: bool) -> bool:
        """Whether somebody with this role may push or merge, and so run jobs there."""
        return self.lets_push(level, is_admin=is_admin) or _is_enough(
            level, self.merge_access_level, is_admin=is_admin
        )

    def lets_push(self, level: int, *, is_admin: bool) -> bool:
        """Whether somebody with this role may push."""
        return _is_enough(level, self.push_access_level, is_admin=is_admin)


def _is_enough(level: int, least: int, *, is_admin: bool) -> bool:
    if least == NO_ONE:
        return False
    return is_admin if least == ADMINISTRATORS else is_admin or level >= least


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProtectedBranch:
    """What is asked for; `problems` says what is wrong with it."""

    name: str
    push_access_level: int = Role.MAINTAINER
    merge_access_level: int = Role.MAINTAINER
    allow_force_push: bool = False

    def problems(self) -> list[str]:
        """GitLab's sentences; empty when all is well."""
        if not self.name.strip():
            return ["Name can't be blank"]
        if len(self.name) > 255:
            return ["Name is too long (maximum is 255 characters)"]
        if not is_branch_name(self.name.replace("*", "x")):
            return ["Name is neither a branch's name nor a pattern of such"]
        return []


def protections_of(ref: str, branches: Iterable[ProtectedBranch]) -> list[ProtectedBranch]:
    """Those that protect a full ref; none: the ref is not protected. Tags are not."""
    if not ref.startswith(BRANCH_REF):
        return []
    name = ref.removeprefix(BRANCH_REF)
    return [branch for branch in branches if matches(branch.name, name)]


def may_run_on(ref: str, branches: Iterable[ProtectedBranch], *, level: int, is_admin: bool = False) -> bool:
    """Whether somebody with this role may run jobs on a full ref: as GitLab, those who may push or merge there.

    Several records may fit one branch: the most lenient counts, as in GitLab.
    """
    if level < Role.DEVELOPER:
        return False
    found = protections_of(ref, branches)
    return not found or any(branch.admits(level, is_admin=is_admin) for branch in found)


def path_from_name(name: str) -> str:
    """The path GitLab makes of a name when none is given: `My App!` becomes `my-app`."""
    return _SLUG_GAPS.sub("-", name.strip()).strip("-").lower()


def _branch_problems(branch: str) -> list[str]:
    return [] if is_branch_name(branch) else ["is not a name git accepts for a branch"]
