"""What kas asks about agents: GitLab's internal API, `/internal/kubernetes/…`.

Every route wants kas' JWT; those about one agent want the agent's token too. Nothing here is reachable with a
person's token. The fields about Gitaly are present because GitLab's clients expect them; the repositories themselves
are read over our own routes.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from kasbah.hub.accounts.service import AccountService
from kasbah.hub.agents.access import AccessService
from kasbah.hub.agents.entities import BasisEntity
from kasbah.hub.agents.model import Agent, RoleAt
from kasbah.hub.agents.service import AgentService
from kasbah.hub.agents.standing import ProxyUser
from kasbah.hub.agents.tokens import AgentTokenService
from kasbah.hub.errors import (
    AccountBlockedError,
    ForbiddenError,
    InsufficientScopeError,
    NotFoundError,
    RefusedError,
    TokenExpiredError,
    TokenRevokedError,
    UnauthenticatedError,
)
from kasbah.hub.groups.model import role_symbols
from kasbah.hub.groups.rest import reference
from kasbah.hub.identity import Authenticated
from kasbah.hub.projects.model import Project
from kasbah.hub.projects.service import ProjectService
from kasbah.hub.rest.access import KAS
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.credentials import bearer
from kasbah.hub.rest.parameters import Json, ParametersError
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import NoParameters, Route
from kasbah.hub.sessions.service import SessionService
from kasbah.kit.secrets import Secret

PREFIX = "/internal/kubernetes"
_PROXY_SCOPE = "k8s_proxy"
_CONFIGURATION_BYTES = 10 * 1024 * 1024
_MOST_LINES = 2**31 - 1
_LONGEST_COMMIT_ID = 64
_TOKEN_HEADERS = ("gitlab-agentk-api-request", "gitlab-agent-api-request")


class GitalyInfo(msgspec.Struct, frozen=True):
    """Where GitLab's kas would find Gitaly; empty, for ours asks the hub itself."""

    address: str = ""
    token: str = ""
    features: dict[str, str] = {}


class GitalyRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository in Gitaly's words; kas takes the project's path from it."""

    storage_name: str = "default"
    relative_path: str
    git_object_directory: str = ""
    git_alternate_object_directories: tuple[str, ...] = ()
    gl_repository: str
    gl_project_path: str

    @classmethod
    def of(cls, project: Project) -> GitalyRepository:
        digest = hashlib.sha256(str(project.id).encode()).hexdigest()
        return cls(
            relative_path=f"@hashed/{digest[:2]}/{digest[2:4]}/{digest}.git",
            gl_repository=f"project-{project.id}",
            gl_project_path=project.full_path,
        )


class ProjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A project whose repository an agent may read."""

    project_id: int
    gitaly_info: GitalyInfo = GitalyInfo()
    gitaly_repository: GitalyRepository
    default_branch: str


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The agent behind a token."""

    project_id: int
    agent_id: int
    agent_name: str
    gitaly_info: GitalyInfo = GitalyInfo()
    gitaly_repository: GitalyRepository
    default_branch: str


class ProjectParameters(msgspec.Struct, frozen=True):
    id: str


class AgentConfiguration(msgspec.Struct, frozen=True):
    agent_id: int
    agent_config: Json
    agent_config_lines: Json = None
    """Ours: in which line each entry begins, by its name."""
    commit_id: str | None = None
    """Ours: where the file was read."""


class AuthorizeProxyUser(msgspec.Struct, frozen=True, kw_only=True):
    """A person at the proxy: who is it, and may they use this agent?"""

    agent_id: int
    access_type: Literal["session_cookie", "personal_access_token"]
    access_key: str
    csrf_token: str | None = None


class _Id(msgspec.Struct, frozen=True):
    id: int


class _ProxyAgent(msgspec.Struct, frozen=True):
    id: int
    config_project: _Id


class _ProxyUserName(msgspec.Struct, frozen=True):
    id: int
    username: str


class _Roles(msgspec.Struct, frozen=True):
    id: int
    roles: list[str]


class _Shares(msgspec.Struct, frozen=True):
    projects: list[_Roles]
    groups: list[_Roles]


class _AccessAs(msgspec.Struct, frozen=True, kw_only=True):
    agent: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    user: _Shares | msgspec.UnsetType = msgspec.UNSET


class ProxyUserEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may use an agent; exactly one of the two ways is present."""

    agent: _ProxyAgent
    user: _ProxyUserName
    access_as: _AccessAs
    basis: BasisEntity | msgspec.UnsetType = msgspec.UNSET
    """Ours: the entry of the configuration file that lets the person in."""

    @classmethod
    def of(cls, found: ProxyUser) -> ProxyUserEntity:
        agent = _ProxyAgent(found.agent.id, _Id(found.agent.project_id))
        access_as = (
            _AccessAs(agent={}) if found.access_as == "agent" else _AccessAs(user=_shares(found.roles))
        )
        user = _ProxyUserName(found.user.id, found.user.username)
        return cls(agent=agent, user=user, access_as=access_as, basis=BasisEntity.of(found.basis))


def _shares(roles: tuple[RoleAt, ...]) -> _Shares:
    def listed(entity: str) -> list[_Roles]:
        return [_Roles(role.id, role_symbols(role.level)) for role in roles if role.entity == entity]

    return _Shares(projects=listed("project"), groups=listed("group"))


class AgentsInternal:
    """The routes of kas about agents."""

    def __init__(
        self,
        agents: AgentService,
        tokens: AgentTokenService,
        access: AccessService,
        accounts: AccountService,
        projects: ProjectService,
        *,
        sessions: SessionService,
    ) -> None:
        self._agents = agents
        self._sessions = sessions
        self._tokens = tokens
        self._access = access
        self._accounts = accounts
        self._projects = projects

    def routes(self) -> list[Route[Any]]:
        configuration, authorize = self.replace_configuration, self.authorize_proxy_user
        return [
            Route("GET", f"{PREFIX}/agent_info", self.agent_info, NoParameters, KAS),
            Route("GET", "/internal/agents/agentk/agent_info", self.agent_info, NoParameters, KAS),
            Route("GET", f"{PREFIX}/project_info", self.project_info, ProjectParameters, KAS),
            Route("GET", f"{PREFIX}/verify_project_access", self.verify_access, ProjectParameters, KAS),
            Route(
                "POST",
                f"{PREFIX}/agent_configuration",
                configuration,
                AgentConfiguration,
                KAS,
                _CONFIGURATION_BYTES,
            ),
            Route("POST", f"{PREFIX}/authorize_proxy_user", authorize, AuthorizeProxyUser, KAS),
        ]

    async def agent_info(self, call: Call, _: NoParameters) -> Reply:
        agent = await self._authenticated_agent(call)
        project = await self._projects.find(agent.project_id)
        if project is None:
            raise UnauthenticatedError  # deleted between two queries, and the agent with it
        return Reply(
            AgentInfo(
                project_id=project.id,
                agent_id=agent.id,
                agent_name=agent.name,
                gitaly_repository=GitalyRepository.of(project),
                default_branch=project.default_branch,
            )
        )

    async def project_info(self, call: Call, parameters: ProjectParameters) -> Reply:
        project = await self._readable_project(call, parameters)
        return Reply(
            ProjectInfo(
                project_id=project.id,
                gitaly_repository=GitalyRepository.of(project),
                default_branch=project.default_branch,
            )
        )

    async def verify_access(self, call: Call, parameters: ProjectParameters) -> Reply:
        await self._readable_project(call, parameters)
        return Reply.empty()

    async def _readable_project(self, call: Call, parameters: ProjectParameters) -> Project:
        """A public project, or the agent's own; the others answer as if they were absent."""
        agent = await self._authenticated_agent(call)
        asked = reference(parameters.id)
        found = await (
            self._projects.find(asked) if isinstance(asked, int) else self._projects.find_by_path(asked)
        )
        if found is None or (found.id != agent.project_id and found.visibility != "public"):
            raise NotFoundError
        return found

    async def replace_configuration(self, _: Call, parameters: AgentConfiguration) -> Reply:
        configuration = parameters.agent_config
        if not isinstance(configuration, dict):
            raise ParametersError(["agent_config is invalid"])
        await self._access.replace_configuration(
            parameters.agent_id,
            configuration,
            lines=_lines(parameters.agent_config_lines),
            commit_id=_commit_id(parameters.commit_id),
        )
        return Reply.empty()

    async def authorize_proxy_user(self, _: Call, parameters: AuthorizeProxyUser) -> Reply:
        """Person and agent are both looked up before either is judged: time tells nothing of an agent's existence."""
        agent = await self._agents.find(parameters.agent_id)
        if parameters.access_type == "session_cookie":
            csrf_token = _required(parameters.csrf_token, "csrf_token")
            user = await self._sessions.authenticate(Secret(parameters.access_key), Secret(csrf_token))
            return Reply(ProxyUserEntity.of(await self._access.authorize(agent, user)))
        authenticated = await self._proxy_token(parameters.access_key)
        standing = await self._access.standing(agent, authenticated.user)
        if _PROXY_SCOPE not in authenticated.scopes:
            text = standing.explained(f"the token lacks the scope {_PROXY_SCOPE}")
            raise InsufficientScopeError((_PROXY_SCOPE,), explanation=text)
        return Reply(ProxyUserEntity.of(standing.proxy_user()))

    async def _proxy_token(self, access_key: str) -> Authenticated:
        try:
            return await self._accounts.authenticate_pat(Secret(access_key))
        except (TokenRevokedError, TokenExpiredError):
            raise
        except UnauthenticatedError as error:
            raise RefusedError("Unable to get user from request data") from error
        except AccountBlockedError as error:
            raise ForbiddenError from error

    async def _authenticated_agent(self, call: Call) -> Agent:
        headers = call.request.headers
        secret = bearer(headers.get("authorization"))
        for name in _TOKEN_HEADERS:
            secret = secret or (Secret(headers[name]) if headers.get(name) else None)
        if secret is None:
            raise UnauthenticatedError
        _, agent = await self._tokens.authenticate(secret)
        return agent


def _required(text: str | None, name: str) -> str:
    if text is None:
        raise ParametersError([f"{name} is missing"])
    if not text.strip():
        raise ParametersError([f"{name} is empty"])
    return text


def _lines(value: Json) -> dict[str, int]:
    """Lines by entry; what makes no sense is left out, for no decision rests on them."""
    if not isinstance(value, dict):
        return {}
    return {
        str(entry): line
        for entry, line in value.items()
        if isinstance(line, int) and not isinstance(line, bool) and 0 < line <= _MOST_LINES
    }


def _commit_id(text: str | None) -> str | None:
    if text is not None and len(text) > _LONGEST_COMMIT_ID:
        raise ParametersError(["commit_id is invalid"])
    return text or None
