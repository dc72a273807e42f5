"""Composition of the hub: the only file that knows every area.

`create_app` builds everything without touching the disk but for creating the database's file; `HubApp.run` migrates,
makes the administrator, and then keeps the hub alive until it is cancelled. Until it is ready every request is
answered 503.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from kasbah.hub import first_start, instance
from kasbah.hub.accounts.rest import TokensRest, UsersRest
from kasbah.hub.accounts.service import AccountService
from kasbah.hub.accounts.tokens import TokenService
from kasbah.hub.agents.access import AccessService
from kasbah.hub.agents.internal import AgentsInternal
from kasbah.hub.agents.rest import AgentsRest
from kasbah.hub.agents.service import AgentService
from kasbah.hub.agents.tokens import AgentTokenService
from kasbah.hub.api import PREFIX, RestApi
from kasbah.hub.audit.rest import AuditRest
from kasbah.hub.audit.service import AuditService
from kasbah.hub.clock import Clock, utc_now
from kasbah.hub.database import Database, sqlite_url
from kasbah.hub.errors import DatabaseUnavailableError
from kasbah.hub.groups import store as groups_store
from kasbah.hub.groups.members import MembershipService
from kasbah.hub.groups.rest import GroupsRest, MembersRest, group_place
from kasbah.hub.groups.service import GroupService
from kasbah.hub.jobs.rest import JobsRest
from kasbah.hub.jobs.service import JobService
from kasbah.hub.kas_client import KasClient
from kasbah.hub.kas_jwt import KasJwtCheck
from kasbah.hub.last_used import LastUsed
from kasbah.hub.migrations import migrate
from kasbah.hub.projects import store as projects_store
from kasbah.hub.projects.protection import ProtectionService
from kasbah.hub.projects.protection_rest import ProtectedBranchesRest
from kasbah.hub.projects.rest import ProjectsRest, project_place
from kasbah.hub.projects.service import ProjectService
from kasbah.hub.repositories import internal as repositories_internal
from kasbah.hub.repositories.git_http import git_app
from kasbah.hub.repositories.store import RepositoryStore
from kasbah.hub.rest.call import Site
from kasbah.hub.rest.credentials import Authenticator
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import Route
from kasbah.hub.sessions.rest import SessionsRest
from kasbah.hub.sessions.service import SessionService
from kasbah.hub.usage.internal import UsageInternal
from kasbah.kit.secrets import Secret

_log = structlog.get_logger()

_FLUSH_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """Everything a hub must be told; checked by `create_app`."""

    data_dir: Path
    """Repositories, the SQLite file and the first token lie here; it exists."""
    database_url: str | None = None
    """postgresql://… or sqlite:///…; None: kasbah.db in the data directory."""
    kas_secret: Secret
    """Shared with kas: base64 of 32 random bytes."""
    external_url: str
    """How people reach the hub; links are built from it, never from a Host header."""
    kas_external_url: str
    """How agents reach kas: wss://…"""
    k8s_proxy_external_url: str
    """How kubectl reaches kas: https://…"""
    version: str
    """Of GitLab's API that is spoken, such as 18.6.1: clients choose features by it."""
    audit_directory: Path | None = None
    """Where the kas beside this hub writes its audit log; None: there is none to be read here."""
    share_agents_anywhere: bool = False
    """Agents may be shared beyond their top-level group (GitLab's organization_cluster_agent_authorization)."""


class HubApp:
    """The hub of one process.

    Attributes:
        asgi: REST below /api/, Git for every other path; 503 until `run` is ready.
    """

    def __init__(self, areas: _Areas, rest: ASGIApp, git: ASGIApp) -> None:
        self._areas = areas
        self._rest = rest
        self._git = git
        self._ready = False
        self.asgi: ASGIApp = self._serve

    async def run(self, ready: Callable[[], None]) -> None:
        """Migrate, make the administrator at the first start, say ready, and live until cancelled.

        Raises:
            DatabaseUnavailableError: the database cannot be opened or migrated.
            UserError: the token file of an interrupted first start holds something else.
        """
        areas = self._areas
        try:
            await migrate(areas.database)
            await areas.repositories.sweep()
            await first_start.ensure_root(areas.database, utc_now, areas.accounts, areas.token_file)
            self._ready = True
            ready()
            await areas.repositories.run()
        finally:
            self._ready = False
            await asyncio.shield(self._close())

    async def _close(self) -> None:
        """Not for ever: what is not written by then is only the time of some tokens' last use."""
        try:
            async with asyncio.timeout(_FLUSH_S):
                await self._areas.agent_tokens.flush_last_used()
                await self._areas.accounts.flush_last_used()
        except (DatabaseUnavailableError, TimeoutError) as error:
            _log.warning("last uses not written", error=str(error))
        await self._areas.database.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not self._ready:
            unavailable = Reply({"message": "503 Service Unavailable"}, 503, {"Retry-After": "1"}).rendered()
            await unavailable(scope, receive, send)
            return
        raw_path = scope.get("raw_path") or scope["path"].encode()
        app = self._rest if raw_path.startswith(PREFIX[: len(b"/api/")]) else self._git
        await app(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Areas:
    """The services, each made once."""

    database: Database
    token_file: Path
    token_last_used: LastUsed
    accounts: AccountService
    tokens: TokenService
    groups: GroupService
    projects: ProjectService
    repositories: RepositoryStore
    agents: AgentService
    agent_tokens: AgentTokenService
    agent_access: AccessService
    protection: ProtectionService
    jobs: JobService
    sessions: SessionService
    group_members: MembershipService
    project_members: MembershipService
    audit: AuditService


def create_app(settings: HubSettings, kas_client: KasClient, clock: Clock = utc_now) -> HubApp:
    """The hub, not running yet.

    Raises:
        UserError: the secret shared with kas, or the database's URL, is not one.
    """
    areas = _areas(settings, clock)
    site = Site(
        external_url=settings.external_url,
        kas_external_url=settings.kas_external_url,
        k8s_proxy_external_url=settings.k8s_proxy_external_url,
        version=settings.version,
    )
    check_kas = KasJwtCheck(settings.kas_secret, time.time)
    rest = RestApi(_routes(areas, clock), site, Authenticator(areas.accounts), check_kas)
    git = git_app(areas.repositories, areas.accounts, areas.projects, kas_client)
    return HubApp(areas, rest, git)


def _areas(settings: HubSettings, clock: Clock) -> _Areas:
    database = Database(settings.database_url or sqlite_url(settings.data_dir / "kasbah.db"))
    groups = GroupService(database, clock)
    repositories = RepositoryStore(settings.data_dir / "repositories")
    projects = ProjectService(database, clock, groups, repositories)
    token_last_used = LastUsed(random.random)
    return _Areas(
        database=database,
        token_file=settings.data_dir / "root-token",
        token_last_used=token_last_used,
        accounts=AccountService(database, clock, token_last_used, groups.add_user_namespace),
        tokens=TokenService(database, clock, token_last_used),
        groups=groups,
        projects=projects,
        repositories=repositories,
        agents=AgentService(database, clock, projects, share_anywhere=settings.share_agents_anywhere),
        agent_tokens=AgentTokenService(database, clock, LastUsed(random.random)),
        agent_access=AccessService(database, clock, share_anywhere=settings.share_agents_anywhere),
        protection=ProtectionService(database, clock, projects),
        jobs=JobService(database, clock, projects),
        sessions=SessionService(database, clock),
        group_members=MembershipService(database, clock, groups_store.members),
        project_members=MembershipService(database, clock, projects_store.members),
        audit=AuditService(settings.audit_directory),
    )


def _routes(areas: _Areas, clock: Clock) -> list[Route[Any]]:
    """Every route below /api/v4: one line an area."""
    return [
        *instance.routes(),
        *UsersRest(areas.accounts).routes(),
        *TokensRest(areas.tokens, areas.token_last_used, clock).routes(),
        *SessionsRest(areas.sessions, clock).routes(),
        *GroupsRest(areas.groups).routes(),
        *MembersRest("/groups", areas.group_members, group_place(areas.groups)).routes(),
        *ProjectsRest(areas.projects, areas.groups).routes(),
        *MembersRest("/projects", areas.project_members, project_place(areas.projects)).routes(),
        *ProtectedBranchesRest(areas.protection, areas.projects).routes(),
        *AuditRest(areas.audit).routes(),
        *JobsRest(areas.jobs, areas.agent_access, areas.projects, areas.groups, clock).routes(),
        *AgentsRest(areas.agents, areas.agent_tokens, areas.projects, areas.groups).routes(),
        *AgentsInternal(
            areas.agents,
            areas.agent_tokens,
            areas.agent_access,
            areas.accounts,
            areas.projects,
            sessions=areas.sessions,
        ).routes(),
        *repositories_internal.routes(areas.repositories, areas.projects),
        *UsageInternal(areas.database, clock).routes(),
    ]
