"""Roles, namespaces and memberships, and what a path may look like. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from typing import Final, Literal

Visibility = Literal["private", "internal", "public"]
NamespaceKind = Literal["group", "user"]


class Role(IntEnum):
    """GitLab's access levels; a role includes those below it."""

    GUEST = 10
    PLANNER = 15
    REPORTER = 20
    DEVELOPER = 30
    MAINTAINER = 40
    OWNER = 50


NO_ACCESS: Final = 0

# What kas and RBAC rules see: planner is no step of this ladder in GitLab's answers.
_SYMBOLS: Final = (
    (Role.GUEST, "guest"),
    (Role.REPORTER, "reporter"),
    (Role.DEVELOPER, "developer"),
    (Role.MAINTAINER, "maintainer"),
    (Role.OWNER, "owner"),
)


def role_symbols(level: int) -> list[str]:
    """The role's name and those it includes, lowest first."""
    return [symbol for role, symbol in _SYMBOLS if role <= level]


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A group, or the namespace that every user has."""

    id: int
    kind: NamespaceKind
    name: str
    path: str
    full_path: str
    parent_id: int | None
    root_id: int
    """The top-level namespace above, or itself: sharing stops at its border."""
    owner_id: int | None
    """The user whose namespace it is; groups have members instead."""
    description: str
    visibility: Visibility
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGroup:
    name: str
    path: str
    parent_id: int | None = None
    description: str = ""
    visibility: Visibility = "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A user's role in one group or project, given there and not inherited."""

    user_id: int
    source_id: int
    access_level: int
    created_at: datetime
    expires_at: date | None


DEEPEST_GROUP: Final = 20
LONGEST_PATH: Final = 255
"""Of a full path, as in GitLab."""

_PATH = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,254}")
_TOP_LEVEL: Final = frozenset(
    {
        "-",
        ".well-known",
        "404.html",
        "422.html",
        "500.html",
        "502.html",
        "503.html",
        "admin",
        "api",
        "apple-touch-icon.png",
        "assets",
        "dashboard",
        "deploy.html",
        "explore",
        "favicon.ico",
        "favicon.png",
        "files",
        "groups",
        "health_check",
        "help",
        "import",
        "jwt",
        "login",
        "oauth",
        "profile",
        "projects",
        "public",
        "robots.txt",
        "s",
        "search",
        "sitemap",
        "sitemap.xml",
        "slash-command-logo.png",
        "snippets",
        "unsubscribes",
        "uploads",
        "users",
        "v2",
    }
)
_BELOW: Final = frozenset(
    {
        "-",
        "badges",
        "blame",
        "blob",
        "builds",
        "commits",
        "create",
        "create_dir",
        "edit",
        "files",
        "find_file",
        "new",
        "preview",
        "raw",
        "refs",
        "tree",
        "update",
        "wikis",
    }
)


def path_problems(path: str, parent: str = "") -> list[str]:
    """Sentences about what is wrong with one more segment below `parent`; empty when all is well."""
    if not path:
        return ["can't be blank"]
    if len(path) > LONGEST_PATH:
        return [f"is too long (maximum is {LONGEST_PATH} characters)"]
    if parent and len(parent) + 1 + len(path) > LONGEST_PATH:
        return [f"is too long with all its groups (maximum is {LONGEST_PATH} characters)"]
    problems = []
    if not _PATH.fullmatch(path) or ".." in path or path == "." or path.endswith((".git", ".atom", ".")):
        problems.append(
            "can only include non-accented letters, digits, '_', '-' and '.'. It must not start with '-' or '.', "
            "contain '..', or end in '.', '.git' or '.atom'."
        )
    if path.lower() in (_BELOW if parent else _TOP_LEVEL):
        problems.append(f"{path} is a reserved name")
    return problems


def name_problems(name: str) -> list[str]:
    """Sentences about what is wrong with a display name."""
    if not name.strip():
        return ["can't be blank"]
    if len(name) > 255:
        return ["is too long (maximum is 255 characters)"]
    if any(ord(character) < 32 for character in name):
        return ["must not contain control characters"]
    return []
