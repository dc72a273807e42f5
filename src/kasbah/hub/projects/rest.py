"""`/projects` of GitLab's REST API."""

from __future__ import annotations

from typing import Any

import msgspec

from kasbah.hub.errors import ForbiddenError
from kasbah.hub.groups.members import Place
from kasbah.hub.groups.model import Namespace, Role, Visibility
from kasbah.hub.groups.rest import Address, FindPlace, ListBelow, full_name, reference
from kasbah.hub.groups.service import GroupService
from kasbah.hub.projects.model import DEFAULT_BRANCH, NewProject, Project, path_from_name
from kasbah.hub.projects.service import ProjectService
from kasbah.hub.rest.access import API_OR_NOBODY
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.pages import Page, Paginated, page_of
from kasbah.hub.rest.parameters import ParametersError
from kasbah.hub.rest.reply import Reply, timestamp
from kasbah.hub.rest.router import Route


class NamespaceEntity(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    path: str
    kind: str
    full_path: str
    parent_id: int | None
    avatar_url: str | None = None
    web_url: str


class AccessEntity(msgspec.Struct, frozen=True):
    access_level: int
    notification_level: int = 3


class PermissionsEntity(msgspec.Struct, frozen=True):
    project_access: AccessEntity | None
    group_access: AccessEntity | None


class ConfigProject(msgspec.Struct, frozen=True, kw_only=True):
    """The short form of a project, as agents show the one that holds their configuration."""

    id: int
    description: str | None
    name: str
    name_with_namespace: str
    path: str
    path_with_namespace: str
    created_at: str


class ProjectEntity(ConfigProject, frozen=True, kw_only=True):
    """A project as clients see it, with its addresses."""

    default_branch: str
    tag_list: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    ssh_url_to_repo: str
    http_url_to_repo: str
    web_url: str
    readme_url: str | None = None
    avatar_url: str | None = None
    forks_count: int = 0
    star_count: int = 0
    last_activity_at: str
    visibility: str
    namespace: NamespaceEntity
    archived: bool
    creator_id: int | None
    permissions: PermissionsEntity | msgspec.UnsetType = msgspec.UNSET


def config_project(project: Project, name_with_namespace: str) -> ConfigProject:
    return ConfigProject(
        id=project.id,
        description=project.description,
        name=project.name,
        name_with_namespace=name_with_namespace,
        path=project.path,
        path_with_namespace=project.full_path,
        created_at=timestamp(project.created_at),
    )


class ListProjects(Paginated, frozen=True, kw_only=True):
    search: str | None = None
    membership: bool = False
    owned: bool = False


class CreateProject(msgspec.Struct, frozen=True, kw_only=True):
    name: str | None = None
    path: str | None = None
    namespace_id: int | None = None
    description: str | None = None
    visibility: Visibility = "private"
    default_branch: str | None = None


class ProjectsRest:
    """The routes about projects."""

    def __init__(self, projects: ProjectService, groups: GroupService) -> None:
        self._projects = projects
        self._groups = groups

    def routes(self) -> list[Route[Any]]:
        return [
            Route("GET", "/projects", self.list, ListProjects, API_OR_NOBODY),
            Route("POST", "/projects", self.create, CreateProject),
            Route("GET", "/projects/:id", self.get, Address, API_OR_NOBODY),
            Route("DELETE", "/projects/:id", self.delete, Address),
            Route("GET", "/groups/:id/projects", self.list_of_group, ListBelow, API_OR_NOBODY),
        ]

    async def list(self, call: Call, parameters: ListProjects) -> Reply:
        page = Page.of(parameters)
        projects, total = await self._projects.list(
            call.user,
            search=parameters.search,
            namespace_id=None,
            membership=parameters.membership or parameters.owned,
            limit=page.size,
            offset=page.offset,
        )
        return page_of(call, page, [await self._entity(project, call) for project in projects], total)

    async def list_of_group(self, call: Call, parameters: ListBelow) -> Reply:
        group, page = await self._groups.get(call.user, reference(parameters.id)), Page.of(parameters)
        projects, total = await self._projects.list(
            call.user,
            search=parameters.search,
            namespace_id=group.id,
            membership=False,
            limit=page.size,
            offset=page.offset,
        )
        return page_of(call, page, [await self._entity(project, call) for project in projects], total)

    async def create(self, call: Call, parameters: CreateProject) -> Reply:
        name, path = parameters.name, parameters.path
        if name is None and path is None:
            raise ParametersError(["name, path are missing, at least one parameter must be provided"])
        new = NewProject(
            name=name if name is not None else path or "",
            path=path if path is not None else path_from_name(name or ""),
            namespace_id=parameters.namespace_id,
            description=parameters.description,
            visibility=parameters.visibility,
            default_branch=parameters.default_branch or DEFAULT_BRANCH,
        )
        return Reply(await self._entity(await self._projects.create(call.signed_in, new), call), 201)

    async def get(self, call: Call, parameters: Address) -> Reply:
        project = await self._projects.get(call.user, reference(parameters.id))
        return Reply(await self._entity(project, call))

    async def delete(self, call: Call, parameters: Address) -> Reply:
        project = await self._projects.get(call.user, reference(parameters.id))
        if await self._projects.access_level(call.user, project) < Role.OWNER:
            raise ForbiddenError
        call.check_unmodified(project.updated_at)
        await self._projects.delete(project)
        return Reply({"message": "202 Accepted"}, 202)

    async def _entity(self, project: Project, call: Call) -> ProjectEntity:
        namespace = await self._projects.namespace_of(project)
        ancestors = await self._groups.list_ancestors(namespace)
        short = config_project(project, f"{full_name(ancestors)} / {project.name}")
        external = call.site.external_url.rstrip("/")
        host = external.partition("://")[2].partition("/")[0].partition(":")[0]
        return ProjectEntity(
            **msgspec.structs.asdict(short),
            default_branch=project.default_branch,
            ssh_url_to_repo=f"git@{host}:{project.full_path}.git",
            http_url_to_repo=f"{external}/{project.full_path}.git",
            web_url=f"{external}/{project.full_path}",
            last_activity_at=timestamp(project.last_activity_at),
            visibility=project.visibility,
            namespace=_namespace(namespace, external),
            archived=project.archived,
            creator_id=project.creator_id,
            permissions=await self._permissions(project, namespace, call),
        )

    async def _permissions(
        self, project: Project, namespace: Namespace, call: Call
    ) -> PermissionsEntity | msgspec.UnsetType:
        if call.user is None:
            return msgspec.UNSET
        direct, inherited = await self._projects.levels(call.user, project, namespace)
        return PermissionsEntity(
            AccessEntity(direct) if direct else None, AccessEntity(inherited) if inherited else None
        )


def _namespace(namespace: Namespace, external: str) -> NamespaceEntity:
    start = f"{external}/groups" if namespace.kind == "group" else external
    return NamespaceEntity(
        id=namespace.id,
        name=namespace.name,
        path=namespace.path,
        kind=namespace.kind,
        full_path=namespace.full_path,
        parent_id=namespace.parent_id,
        web_url=f"{start}/{namespace.full_path}",
    )


def project_place(projects: ProjectService) -> FindPlace:
    """Members of projects are managed by its maintainers."""

    async def find(call: Call, text: str) -> Place:
        project = await projects.get(call.user, reference(text))
        level = await projects.access_level(call.user, project)
        return Place(source_id=project.id, caller_level=level, manager_level=Role.MAINTAINER)

    return find
