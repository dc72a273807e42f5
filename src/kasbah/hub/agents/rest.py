"""`/projects/:id/cluster_agents` and their tokens, of GitLab's REST API."""

from __future__ import annotations

from typing import Any

import msgspec

from kasbah.hub.agents.model import Agent, AgentToken, NewAgentToken
from kasbah.hub.agents.service import AgentService
from kasbah.hub.agents.tokens import AgentTokenService
from kasbah.hub.groups.rest import full_name, reference
from kasbah.hub.groups.service import GroupService
from kasbah.hub.identity import User
from kasbah.hub.projects.model import Project
from kasbah.hub.projects.rest import ConfigProject, config_project
from kasbah.hub.projects.service import ProjectService
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.pages import Page, Paginated, page_of
from kasbah.hub.rest.reply import Reply, timestamp, timestamp_or_null
from kasbah.hub.rest.router import Route
from kasbah.kit.secrets import Secret


class AgentEntity(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as clients see it: exactly these keys in this order."""

    id: int
    name: str
    config_project: ConfigProject
    created_at: str
    created_by_user_id: int | None
    is_receptive: bool = False


class TokenEntity(msgspec.Struct, frozen=True, kw_only=True):
    """As lists show it; `last_used_at` comes with a single token, `token` with a new one."""

    id: int
    name: str
    description: str | None
    agent_id: int
    status: str
    created_at: str
    created_by_user_id: int | None
    last_used_at: str | msgspec.UnsetType | None = msgspec.UNSET
    token: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, token: AgentToken, *, with_last_use: bool, secret: Secret | None = None) -> TokenEntity:
        return cls(
            id=token.id,
            name=token.name,
            description=token.description,
            agent_id=token.agent_id,
            status=token.status,
            created_at=timestamp(token.created_at),
            created_by_user_id=token.created_by_user_id,
            last_used_at=timestamp_or_null(token.last_used_at) if with_last_use else msgspec.UNSET,
            token=secret.reveal() if secret else msgspec.UNSET,
        )


class ListAgents(Paginated, frozen=True, kw_only=True):
    id: str


class CreateAgent(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str


class AgentAddress(msgspec.Struct, frozen=True):
    id: str
    agent_id: int


class ListTokens(Paginated, frozen=True, kw_only=True):
    id: str
    agent_id: int


class CreateToken(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    agent_id: int
    name: str
    description: str | None = None


class TokenAddress(msgspec.Struct, frozen=True):
    id: str
    agent_id: int
    token_id: int


class AgentsRest:
    """The routes about agents and their tokens."""

    def __init__(
        self,
        agents: AgentService,
        tokens: AgentTokenService,
        projects: ProjectService,
        groups: GroupService,
    ) -> None:
        self._agents = agents
        self._tokens = tokens
        self._projects = projects
        self._groups = groups

    def routes(self) -> list[Route[Any]]:
        agents = "/projects/:id/cluster_agents"
        tokens = f"{agents}/:agent_id/tokens"
        return [
            Route("GET", agents, self.list, ListAgents),
            Route("POST", agents, self.create, CreateAgent),
            Route("GET", f"{agents}/:agent_id", self.get, AgentAddress),
            Route("DELETE", f"{agents}/:agent_id", self.delete, AgentAddress),
            Route("GET", tokens, self.list_tokens, ListTokens),
            Route("POST", tokens, self.create_token, CreateToken),
            Route("GET", f"{tokens}/:token_id", self.get_token, TokenAddress),
            Route("DELETE", f"{tokens}/:token_id", self.revoke_token, TokenAddress),
        ]

    async def list(self, call: Call, parameters: ListAgents) -> Reply:
        project, page = await self._project(call, parameters.id), Page.of(parameters)
        agents, total = await self._agents.list(call.signed_in, project, limit=page.size, offset=page.offset)
        shown = await self._config_project(project)
        return page_of(call, page, [_entity(agent, shown) for agent in agents], total)

    async def create(self, call: Call, parameters: CreateAgent) -> Reply:
        project = await self._project(call, parameters.id)
        agent = await self._agents.create(call.signed_in, project, parameters.name)
        return Reply(_entity(agent, await self._config_project(project)), 201)

    async def get(self, call: Call, parameters: AgentAddress) -> Reply:
        project, agent = await self._agent(call, parameters.id, parameters.agent_id)
        return Reply(_entity(agent, await self._config_project(project)))

    async def delete(self, call: Call, parameters: AgentAddress) -> Reply:
        _, agent = await self._agent_to_change(call, parameters.id, parameters.agent_id)
        call.check_unmodified(agent.updated_at)
        await self._agents.delete(agent)
        return Reply.empty()

    async def list_tokens(self, call: Call, parameters: ListTokens) -> Reply:
        _, agent = await self._agent(call, parameters.id, parameters.agent_id)
        page, tokens = Page.of(parameters), await self._tokens.list_active(agent)
        shown = tokens[page.offset : page.offset + page.size]
        entities = [TokenEntity.of(token, with_last_use=False) for token in shown]
        return page_of(call, page, entities, len(tokens))

    async def create_token(self, call: Call, parameters: CreateToken) -> Reply:
        _, agent = await self._agent_to_change(call, parameters.id, parameters.agent_id)
        new = NewAgentToken(name=parameters.name, description=parameters.description)
        token, secret = await self._tokens.create(call.signed_in, agent, new)
        return Reply(TokenEntity.of(token, with_last_use=True, secret=secret), 201)

    async def get_token(self, call: Call, parameters: TokenAddress) -> Reply:
        _, agent = await self._agent(call, parameters.id, parameters.agent_id)
        token = await self._tokens.get_active(agent, parameters.token_id)
        return Reply(TokenEntity.of(token, with_last_use=True))

    async def revoke_token(self, call: Call, parameters: TokenAddress) -> Reply:
        _, agent = await self._agent_to_change(call, parameters.id, parameters.agent_id)
        await self._tokens.revoke(agent, parameters.token_id)
        return Reply.empty()

    async def _project(self, call: Call, text: str) -> Project:
        return await self._projects.get(call.user, reference(text))

    async def _agent(self, call: Call, text: str, agent_id: int) -> tuple[Project, Agent]:
        project = await self._project(call, text)
        return project, await self._agents.get(call.signed_in, project, agent_id)

    async def _agent_to_change(self, call: Call, text: str, agent_id: int) -> tuple[Project, Agent]:
        """403 before 404: who may not change agents does not learn which there are."""
        project = await self._project(call, text)
        caller: User = call.signed_in
        await self._agents.require_maintainer(caller, project)
        return project, await self._agents.get(caller, project, agent_id)

    async def _config_project(self, project: Project) -> ConfigProject:
        namespace = await self._projects.namespace_of(project)
        ancestors = await self._groups.list_ancestors(namespace)
        return config_project(project, f"{full_name(ancestors)} / {project.name}")


def _entity(agent: Agent, project: ConfigProject) -> AgentEntity:
    return AgentEntity(
        id=agent.id,
        name=agent.name,
        config_project=project,
        created_at=timestamp(agent.created_at),
        created_by_user_id=agent.created_by_user_id,
    )
