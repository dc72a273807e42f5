"""Agents, their tokens, and what a configuration file grants. Pure.

The rules of names and the reading of `ci_access` and `user_access` stand here; whether a path exists and who is a
member is the database's to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

PREFIX: Final = "glagent-"
CHARACTERS: Final = 50
MOST_ACTIVE_TOKENS: Final = 2
MOST_ENTITIES: Final = 500
"""Of each list of a configuration file, this many count; the rest is ignored, as GitLab does."""

TokenStatus = Literal["active", "revoked"]
AccessKind = Literal["ci_access", "user_access"]
EntityKind = Literal["project", "group", "instance"]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME_RULE = "Name can contain only lowercase letters, digits, and '-', but cannot start or end with '-'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A cluster, as its project knows it."""

    id: int
    project_id: int
    name: str
    created_by_user_id: int | None
    created_at: datetime
    updated_at: datetime
    user_access: str | None
    """`access_as` of the configuration's `user_access` as JSON; None when the file has no such section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentToken:
    """A token of an agent; its value is known to the agent alone."""

    id: int
    agent_id: int
    name: str
    description: str | None
    status: TokenStatus
    created_by_user_id: int | None
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAgentToken:
    """What is asked for; `problems` says what is wrong with it."""

    name: str
    description: str | None

    def problems(self) -> list[str]:
        """GitLab's sentences; empty when all is well."""
        found = []
        if not self.name.strip():
            found.append("Name can't be blank")
        if len(self.name) > 255:
            found.append("Name is too long (maximum is 255 characters)")
        if self.description is not None and len(self.description) > 1024:
            found.append("Description is too long (maximum is 1024 characters)")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One entry of a configuration file: a project or group, and on which terms it may use the agent."""

    access: AccessKind
    entity: EntityKind
    path: str
    """Full path in lower case; empty for the instance."""
    entry: str
    """Where it stands in the file: `ci_access.projects[0]`."""
    config: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """Everything a configuration file grants."""

    entries: tuple[Grant, ...]
    user_access: dict[str, Any] | None
    """The section without its lists; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAt:
    """A project or group through which a user is authorised, and the user's level there."""

    entity: EntityKind
    id: int
    level: int
    path: str = ""
    entry: str | None = None
    """Where the configuration file names it; None when that is not known."""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The entry of an agent's configuration file that a decision rests on."""

    project_path: str
    file: str
    entry: str
    """`implicit`: the agent's own project, which no file needs to name."""
    line: int = 0
    """0 when it is not known."""

    def __str__(self) -> str:
        where = f"line {self.line} of {self.file}" if self.line else self.file
        return f"{self.entry} in {where} of {self.project_path}"


def basis_of(agent: Agent, project_path: str, entry: str | None, line: int | None) -> Basis | None:
    """None: the row was written before kas told where its entries stand."""
    if entry is None:
        return None
    file = configuration_file(agent.name)
    return Basis(project_path=project_path, file=file, entry=entry, line=line or 0)


def configuration_file(agent_name: str) -> str:
    """Where an agent's configuration lies in its project."""
    return f".gitlab/agents/{agent_name}/config.yaml"


def name_problems(name: str) -> list[str]:
    """GitLab's sentences about an agent's name; empty when all is well."""
    found = []
    if not name.strip():
        found.append("Name can't be blank")
    if len(name) > 63:
        found.append("Name is too long (maximum is 63 characters)")
    if not _NAME.fullmatch(name):
        found.append(_NAME_RULE)
    return found


def read_grants(configuration: Mapping[str, Any]) -> Grants:
    """What the parsed config.yaml grants; entries that make no sense grant nothing."""
    ci_access = _section(configuration, "ci_access") or {}
    user_access = _section(configuration, "user_access")
    entries = [*_entries("ci_access", ci_access), *_entries("user_access", user_access or {})]
    if isinstance(instance := ci_access.get("instance"), dict):
        entry = "ci_access.instance"
        entries.append(Grant(access="ci_access", entity="instance", path="", entry=entry, config=instance))
    return Grants(
        entries=tuple(entries),
        user_access=None if user_access is None else _without_lists(user_access),
    )


def _section(configuration: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    section = configuration.get(name)
    return section if isinstance(section, dict) else None


def _without_lists(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in {"projects", "groups"}}


def _entries(access: AccessKind, section: dict[str, Any]) -> list[Grant]:
    # What stands beside user_access' lists holds for each entry; entries of ci_access bring their own terms.
    shared = _without_lists(section) if access == "user_access" else {}
    found: list[Grant] = []
    for entity, key in (("project", "projects"), ("group", "groups")):
        listed = section.get(key)
        for index, entry in enumerate(listed[:MOST_ENTITIES] if isinstance(listed, list) else []):
            if isinstance(entry, dict) and isinstance(path := entry.get("id"), str) and path:
                config = {**shared, **{name: value for name, value in entry.items() if name != "id"}}
                kind: EntityKind = "project" if entity == "project" else "group"
                place = f"{access}.{key}[{index}]"
                found.append(Grant(access=access, entity=kind, path=path.lower(), entry=place, config=config))
    return found
