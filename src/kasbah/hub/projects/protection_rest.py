"""`/projects/:id/protected_branches` of GitLab's REST API."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from kasbah.hub.groups.model import Role
from kasbah.hub.groups.rest import reference
from kasbah.hub.projects.model import ADMINISTRATORS, NO_ONE, NewProtectedBranch, Project, ProtectedBranch
from kasbah.hub.projects.protection import ProtectionService
from kasbah.hub.projects.service import ProjectService
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.pages import Page, Paginated, page_of
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import Route

_PATH: Final = "/projects/:id/protected_branches"
_Level = Literal[0, 30, 40, 60]
_DESCRIPTIONS: Final = {
    NO_ONE: "No one",
    int(Role.DEVELOPER): "Developers + Maintainers",
    int(Role.MAINTAINER): "Maintainers",
    ADMINISTRATORS: "Instance admins",
}


class AccessLevelEntity(msgspec.Struct, frozen=True, kw_only=True):
    """Who may push, or merge; here always a role, never one person, group or key."""

    id: int
    access_level: int
    access_level_description: str
    deploy_key_id: int | None = None
    user_id: int | None = None
    group_id: int | None = None


class ProtectedBranchEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as clients see it."""

    id: int
    name: str
    push_access_levels: tuple[AccessLevelEntity, ...]
    merge_access_levels: tuple[AccessLevelEntity, ...]
    allow_force_push: bool
    unprotect_access_levels: tuple[AccessLevelEntity, ...] = ()
    code_owner_approval_required: bool = False
    inherited: bool = False

    @classmethod
    def of(cls, branch: ProtectedBranch) -> ProtectedBranchEntity:
        return cls(
            id=branch.id,
            name=branch.name,
            push_access_levels=(_level(branch, branch.push_access_level),),
            merge_access_levels=(_level(branch, branch.merge_access_level),),
            allow_force_push=branch.allow_force_push,
        )


def _level(branch: ProtectedBranch, level: int) -> AccessLevelEntity:
    return AccessLevelEntity(id=branch.id, access_level=level, access_level_description=_DESCRIPTIONS[level])


class ListProtectedBranches(Paginated, frozen=True, kw_only=True):
    id: str
    search: str | None = None


class ProtectedBranchAddress(msgspec.Struct, frozen=True):
    id: str
    name: str


class Protect(msgspec.Struct, frozen=True, kw_only=True):
    """Who may push and merge: nobody (0), developers (30), maintainers (40), administrators (60)."""

    id: str
    name: str
    push_access_level: _Level = 40
    merge_access_level: _Level = 40
    allow_force_push: bool = False


class ProtectedBranchesRest:
    """The routes about protected branches; a name with a slash comes URL-encoded."""

    def __init__(self, protection: ProtectionService, projects: ProjectService) -> None:
        self._protection = protection
        self._projects = projects

    def routes(self) -> list[Route[Any]]:
        return [
            Route("GET", _PATH, self.list, ListProtectedBranches),
            Route("POST", _PATH, self.protect, Protect),
            Route("GET", f"{_PATH}/:name", self.get, ProtectedBranchAddress),
            Route("DELETE", f"{_PATH}/:name", self.unprotect, ProtectedBranchAddress),
        ]

    async def list(self, call: Call, parameters: ListProtectedBranches) -> Reply:
        project, page = await self._project(call, parameters.id), Page.of(parameters)
        found = await self._protection.list(call.signed_in, project)
        if parameters.search is not None:
            found = [branch for branch in found if parameters.search in branch.name]
        shown = found[page.offset : page.offset + page.size]
        return page_of(call, page, [ProtectedBranchEntity.of(branch) for branch in shown], len(found))

    async def protect(self, call: Call, parameters: Protect) -> Reply:
        project = await self._project(call, parameters.id)
        new = NewProtectedBranch(
            name=parameters.name,
            push_access_level=parameters.push_access_level,
            merge_access_level=parameters.merge_access_level,
            allow_force_push=parameters.allow_force_push,
        )
        branch = await self._protection.protect(call.signed_in, project, new)
        return Reply(ProtectedBranchEntity.of(branch), 201)

    async def get(self, call: Call, parameters: ProtectedBranchAddress) -> Reply:
        project = await self._project(call, parameters.id)
        branch = await self._protection.get(call.signed_in, project, parameters.name)
        return Reply(ProtectedBranchEntity.of(branch))

    async def unprotect(self, call: Call, parameters: ProtectedBranchAddress) -> Reply:
        project = await self._project(call, parameters.id)
        await self._protection.unprotect(call.signed_in, project, parameters.name)
        return Reply.empty()

    async def _project(self, call: Call, text: str) -> Project:
        return await self._projects.get(call.user, reference(text))
