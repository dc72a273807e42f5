"""What there is between an agent and a person: may they use it, as whom, and what may they hear when not. Pure.

Who has no part in an agent learns nothing of it: an explanation is given to those only who may know that it exists,
because they have a role in its project or in what it is shared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from kasbah.hub.agents.model import Agent, Basis, RoleAt, basis_of, configuration_file
from kasbah.hub.errors import ForbiddenError, RecordNotFoundError
from kasbah.hub.groups.model import Role, role_symbols
from kasbah.hub.identity import User
from kasbah.hub.projects.model import Project

_NO_KEYWORD: Final = "`user_access` keyword is not found in agent config file."
_NOT_ONCE: Final = "`access_as` must exist only once under the `user_access` keyword."
_NO_MEMBER: Final = "You must be a member of `projects` or `groups` under the `user_access` keyword."
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyUser:
    """A person may use an agent, and as whom."""

    agent: Agent
    user: User
    access_as: Literal["agent", "user"]
    roles: tuple[RoleAt, ...]
    basis: Basis | None
    """The first entry that lets the person in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A person before an agent, whether there is such an agent or not."""

    agent: Agent | None
    home: Project | None
    """The agent's own project."""
    user: User
    level_at_home: int
    roles: tuple[RoleAt, ...]
    """In what the agent is shared with; also roles too low to use it."""

    @property
    def may_know(self) -> bool:
        """Whether the person may know that the agent exists."""
        if self.agent is None:
            return False
        levels = (self.level_at_home, *(role.level for role in self.roles))
        return self.user.is_admin or max(levels) >= Role.REPORTER

    def proxy_user(self) -> ProxyUser:
        """As whom the person may use the agent.

        Raises:
            RecordNotFoundError: there is no such agent.
            ForbiddenError: its configuration does not let this person in.
        """
        if self.agent is None:
            raise RecordNotFoundError
        access_as = self._access_as(self.agent)
        sufficient = tuple(role for role in self.roles if role.level >= Role.DEVELOPER)
        if not sufficient:
            raise ForbiddenError(_NO_MEMBER, verbatim=True, explanation=self.explained(self._missing_role()))
        return ProxyUser(
            agent=self.agent,
            user=self.user,
            access_as=access_as,
            roles=sufficient,
            basis=self._basis(sufficient[0]),
        )

    def explained(self, text: str) -> str:
        """The text for those who may know, nothing for the others."""
        return text if self.may_know else ""

    def _access_as(self, agent: Agent) -> Literal["agent", "user"]:
        if agent.user_access is None:
            text = (
                f"no `user_access` section that names who may use the agent was read from {self._file}; "
                "the file is read while an agentk of the agent is connected"
            )
            raise ForbiddenError(_NO_KEYWORD, verbatim=True, explanation=self.explained(text))
        section = msgspec.json.decode(agent.user_access, type=dict[str, Any])
        chosen = section.get("access_as")
        if chosen is None:
            return "agent"  # the default since GitLab 18.3
        text = self.explained(f"`user_access.access_as` in {self._file} must be either agent or user")
        if not isinstance(chosen, dict) or len(chosen) != 1:
            raise ForbiddenError(_NOT_ONCE, verbatim=True, explanation=text)
        match next(iter(chosen)):
            case "agent":
                return "agent"
            case "user":
                return "user"
            case _:
                raise ForbiddenError(explanation=text)

    @property
    def _file(self) -> str:
        name = configuration_file(self.agent.name) if self.agent else ""
        return f"{name} of {self.home.full_path}" if self.home else name

    def _basis(self, role: RoleAt) -> Basis | None:
        if self.agent is None or self.home is None:
            return None
        return basis_of(self.agent, self.home.full_path, role.entry, role.line)

    def _missing_role(self) -> str:
        if not self.roles:
            return f"you are a member of no project or group under `user_access` in {self._file}"
        return "the role developer is needed: " + "; ".join(
            self._told(role) for role in self.roles[:_MOST_NAMED]
        )

    def _told(self, role: RoleAt) -> str:
        name = next(iter(role_symbols(role.level)[::-1]), "no member")
        basis = self._basis(role)
        return f"you are {name} in {role.path}" + (f" ({basis})" if basis else "")
