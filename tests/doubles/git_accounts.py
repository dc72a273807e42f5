"""Accounts, projects and kas as Git hosting sees them, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from kasbah.errors import PeerError
from kasbah.hub.errors import UnauthenticatedError
from kasbah.hub.groups.model import Visibility
from kasbah.hub.identity import Authenticated, PersonalAccessToken, User
from kasbah.hub.kas_client import GitPushEvent
from kasbah.hub.projects.model import Project, ProtectedBranch
from kasbah.kit.secrets import Secret

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def make_user(user_id: int = 1, *, is_admin: bool = False) -> User:
    return User(
        id=user_id,
        username=f"user{user_id}",
        name=f"User {user_id}",
        email=f"user{user_id}@example.com",
        state="active",
        is_admin=is_admin,
        created_at=NOW,
    )


def make_project(
    project_id: int = 7, full_path: str = "group/sub/app", visibility: Visibility = "private"
) -> Project:
    return Project(
        id=project_id,
        namespace_id=1,
        name="app",
        path=full_path.rpartition("/")[2],
        full_path=full_path,
        description=None,
        visibility=visibility,
        default_branch="main",
        archived=False,
        creator_id=1,
        created_at=NOW,
        updated_at=NOW,
        last_activity_at=NOW,
    )


@dataclass
class FakeAccounts:
    """Tokens by value: who, and with which scopes."""

    tokens: dict[str, tuple[User, tuple[str, ...]]] = field(default_factory=dict)

    def grant(self, token: str, user: User, *scopes: str) -> None:
        self.tokens[token] = (user, scopes)

    async def authenticate_pat(self, secret: Secret) -> Authenticated:
        if secret.reveal() not in self.tokens:
            raise UnauthenticatedError
        user, scopes = self.tokens[secret.reveal()]
        token = PersonalAccessToken(
            id=user.id,
            user_id=user.id,
            name="test",
            description=None,
            scopes=scopes,
            revoked=False,
            expires_at=None,
            created_at=NOW,
            last_used_at=None,
        )
        return Authenticated(user=user, token=token)


@dataclass
class FakeProjects:
    """Projects and roles."""

    projects: dict[int, Project] = field(default_factory=dict)
    roles: dict[tuple[int, int], int] = field(default_factory=dict)
    touched: list[int] = field(default_factory=list)
    protected: list[ProtectedBranch] = field(default_factory=list)
    """Of every project."""

    def add(self, project: Project) -> None:
        self.projects[project.id] = project

    def change(self, project_id: int, visibility: Visibility, *, archived: bool = False) -> None:
        project = self.projects[project_id]
        self.projects[project_id] = replace(project, visibility=visibility, archived=archived)

    async def find(self, project_id: int) -> Project | None:
        return self.projects.get(project_id)

    async def find_by_path(self, full_path: str) -> Project | None:
        wanted = full_path.lower()
        return next((project for project in self.projects.values() if project.full_path == wanted), None)

    async def access_level(self, user: User | None, project: Project) -> int:
        if user is None:
            return 0
        return 50 if user.is_admin else self.roles.get((user.id, project.id), 0)

    async def can_read(self, user: User | None, project: Project) -> bool:
        open_to_all = project.visibility == "public" or (
            project.visibility == "internal" and user is not None
        )
        return open_to_all or await self.access_level(user, project) > 0

    async def touch(self, project_id: int) -> None:
        self.touched.append(project_id)

    async def protected_branches(self, project_id: int) -> list[ProtectedBranch]:
        return self.protected

    async def set_default_branch(self, project_id: int, branch: str) -> None:
        self.projects[project_id] = replace(self.projects[project_id], default_branch=branch)


def make_protected(name: str, push: int = 40, merge: int = 40) -> ProtectedBranch:
    """A rule about branches."""
    return ProtectedBranch(
        id=1,
        project_id=7,
        name=name,
        push_access_level=push,
        merge_access_level=merge,
        allow_force_push=False,
    )


@dataclass
class FakeKasClient:
    """Remembers what it was told; may be away."""

    events: list[GitPushEvent] = field(default_factory=list)
    away: bool = False

    async def git_push(self, event: GitPushEvent) -> None:
        if self.away:
            raise PeerError("kas is away", retryable=True)
        self.events.append(event)
