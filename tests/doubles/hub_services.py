"""The hub's services over a real database, with a clock that is turned by hand and repositories in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kasbah.hub.accounts.model import NewToken, NewUser
from kasbah.hub.accounts.service import AccountService
from kasbah.hub.accounts.tokens import TokenService
from kasbah.hub.agents.access import AccessService
from kasbah.hub.agents.model import Agent
from kasbah.hub.agents.service import AgentService
from kasbah.hub.agents.tokens import AgentTokenService
from kasbah.hub.database import Database
from kasbah.hub.errors import RepositoryUnavailableError
from kasbah.hub.groups import store as groups_store
from kasbah.hub.groups.members import MembershipService
from kasbah.hub.groups.model import Member, Namespace, NewGroup
from kasbah.hub.groups.service import GroupService
from kasbah.hub.identity import User
from kasbah.hub.jobs.service import JobService
from kasbah.hub.last_used import LastUsed
from kasbah.hub.projects import store as projects_store
from kasbah.hub.projects.model import NewProject, Project
from kasbah.hub.projects.protection import ProtectionService
from kasbah.hub.projects.service import ProjectService
from kasbah.hub.sessions.service import SessionService
from kasbah.kit.secrets import Secret

START = datetime(2026, 3, 1, 9, 15, 42, 317000, tzinfo=UTC)


@dataclass
class TurnedClock:
    """Stands still until it is turned."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class RepositoriesInMemory:
    """Remembers which repositories there are; may have a full disk."""

    branches: dict[int, str] = field(default_factory=dict)
    full: bool = False

    async def create(self, project_id: int, default_branch: str) -> None:
        if self.full:
            raise RepositoryUnavailableError("no space left on the device")
        self.branches[project_id] = default_branch

    async def delete(self, project_id: int) -> None:
        self.branches.pop(project_id, None)


class HubServices:
    """Every service of the hub, and short ways to fill it."""

    def __init__(self, database: Database, *, share_anywhere: bool = False) -> None:
        self.database = database
        self.clock = TurnedClock()
        self.repositories = RepositoriesInMemory()
        self.last_used = LastUsed(lambda: 0.0)
        self.agents_last_used = LastUsed(lambda: 0.0)
        clock = self.clock
        self.groups = GroupService(database, clock)
        self.accounts = AccountService(database, clock, self.last_used, self.groups.add_user_namespace)
        self.tokens = TokenService(database, clock, self.last_used)
        self.projects = ProjectService(database, clock, self.groups, self.repositories)
        self.agents = AgentService(database, clock, self.projects)
        self.agent_tokens = AgentTokenService(database, clock, self.agents_last_used)
        self.access = AccessService(database, clock, share_anywhere=share_anywhere)
        self.protection = ProtectionService(database, clock, self.projects)
        self.jobs = JobService(database, clock, self.projects)
        self.sessions = SessionService(database, clock)
        self.group_members = MembershipService(database, clock, groups_store.members)
        self.project_members = MembershipService(database, clock, projects_store.members)

    async def user(self, username: str, *, is_admin: bool = False) -> User:
        email = f"{username}@example.com"
        return await self.accounts.create(
            NewUser(username=username, name=username.title(), email=email, is_admin=is_admin)
        )

    async def group(self, owner: User, path: str, parent: Namespace | None = None) -> Namespace:
        parent_id = parent.id if parent else None
        return await self.groups.create(owner, NewGroup(name=path.title(), path=path, parent_id=parent_id))

    async def project(self, owner: User, path: str, group: Namespace | None = None) -> Project:
        namespace_id = group.id if group else None
        return await self.projects.create(owner, NewProject(name=path, path=path, namespace_id=namespace_id))

    async def agent(self, owner: User, project: Project, name: str = "prod") -> Agent:
        return await self.agents.create(owner, project, name)

    async def pat(self, user: User, *scopes: str) -> Secret:
        new = NewToken(name="test", scopes=scopes or ("api",), expires_at=None)
        return (await self.tokens.create(user.id, new))[1]

    async def join(self, place: Namespace | Project, user: User, level: int) -> None:
        """Make the user a member without asking anybody."""
        store = projects_store.members if isinstance(place, Project) else groups_store.members
        member = Member(
            user_id=user.id,
            source_id=place.id,
            access_level=level,
            created_at=self.clock(),
            expires_at=None,
        )
        async with self.database.writing() as connection:
            await store.insert(connection, member)
