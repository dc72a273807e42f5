"""Projects, and what one may be called. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kasbah.gitrepo.branch_name import is_branch_name
from kasbah.hub.groups.model import Visibility, name_problems, path_problems

DEFAULT_BRANCH: Final = "main"

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


def path_from_name(name: str) -> str:
    """The path GitLab makes of a name when none is given: `My App!` becomes `my-app`."""
    return _SLUG_GAPS.sub("-", name.strip()).strip("-").lower()


def _branch_problems(branch: str) -> list[str]:
    return [] if is_branch_name(branch) else ["is not a name git accepts for a branch"]
