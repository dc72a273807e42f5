"""`/groups` of GitLab's REST API, and the routes of members, which groups and projects share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any, Literal

import msgspec

from kasbah.hub.errors import FieldsInvalidError
from kasbah.hub.groups.members import MembershipService, Place
from kasbah.hub.groups.model import Member, Namespace, NewGroup, Role, Visibility
from kasbah.hub.groups.service import GroupService
from kasbah.hub.identity import User
from kasbah.hub.rest.access import API_OR_NOBODY
from kasbah.hub.rest.call import Call, Site
from kasbah.hub.rest.errors import ApiError
from kasbah.hub.rest.pages import Page, Paginated, page_of
from kasbah.hub.rest.reply import Reply, timestamp
from kasbah.hub.rest.router import Route

AccessLevel = Literal[10, 15, 20, 30, 40, 50]


def reference(text: str) -> int | str:
    """`:id` is a number or a full path."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else text


class GroupEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A group as clients see it."""

    id: int
    web_url: str
    name: str
    path: str
    description: str
    visibility: str
    full_name: str
    full_path: str
    created_at: str
    parent_id: int | None
    avatar_url: str | None = None

    @classmethod
    def of(cls, group: Namespace, full_name: str, site: Site) -> GroupEntity:
        return cls(
            id=group.id,
            web_url=f"{site.external_url.rstrip('/')}/groups/{group.full_path}",
            name=group.name,
            path=group.path,
            description=group.description,
            visibility=group.visibility,
            full_name=full_name,
            full_path=group.full_path,
            created_at=timestamp(group.created_at),
            parent_id=group.parent_id,
        )


class MemberEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A member as clients see it: the user with a role."""

    id: int
    username: str
    name: str
    state: str
    avatar_url: str | None = None
    web_url: str
    access_level: int
    created_at: str
    expires_at: str | None
    membership_state: str = "active"

    @classmethod
    def of(cls, member: Member, user: User, site: Site) -> MemberEntity:
        return cls(
            id=user.id,
            username=user.username,
            name=user.name,
            state=user.state,
            web_url=f"{site.external_url.rstrip('/')}/{user.username}",
            access_level=member.access_level,
            created_at=timestamp(member.created_at),
            expires_at=member.expires_at.isoformat() if member.expires_at else None,
        )


class ListGroups(Paginated, frozen=True, kw_only=True):
    search: str | None = None


class ListBelow(Paginated, frozen=True, kw_only=True):
    id: str
    search: str | None = None


class CreateGroup(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    path: str
    parent_id: int | None = None
    description: str | None = None
    visibility: Visibility = "private"


class Address(msgspec.Struct, frozen=True):
    id: str


class GroupsRest:
    """The routes about groups."""

    def __init__(self, groups: GroupService) -> None:
        self._groups = groups

    def routes(self) -> list[Route[Any]]:
        return [
            Route("GET", "/groups", self.list, ListGroups, API_OR_NOBODY),
            Route("POST", "/groups", self.create, CreateGroup),
            Route("GET", "/groups/:id", self.get, Address, API_OR_NOBODY),
            Route("GET", "/groups/:id/subgroups", self.list_subgroups, ListBelow, API_OR_NOBODY),
        ]

    async def list(self, call: Call, parameters: ListGroups) -> Reply:
        return await self._page(call, parameters, parameters.search, None)

    async def list_subgroups(self, call: Call, parameters: ListBelow) -> Reply:
        group = await self._groups.get(call.user, reference(parameters.id))
        return await self._page(call, parameters, parameters.search, group.id)

    async def _page(self, call: Call, parameters: Paginated, search: str | None, below: int | None) -> Reply:
        page = Page.of(parameters)
        groups, total = await self._groups.list(
            call.user, search=search, below=below, limit=page.size, offset=page.offset
        )
        return page_of(call, page, [await self._entity(group, call.site) for group in groups], total)

    async def create(self, call: Call, parameters: CreateGroup) -> Reply:
        new = NewGroup(
            name=parameters.name,
            path=parameters.path,
            parent_id=parameters.parent_id,
            description=parameters.description or "",
            visibility=parameters.visibility,
        )
        try:
            group = await self._groups.create(call.signed_in, new)
        except FieldsInvalidError as error:
            raise ApiError(400, f"Failed to save group {_ruby_hash(error.fields)}") from error
        return Reply(await self._entity(group, call.site), 201)

    async def get(self, call: Call, parameters: Address) -> Reply:
        group = await self._groups.get(call.user, reference(parameters.id))
        return Reply(await self._entity(group, call.site))

    async def _entity(self, group: Namespace, site: Site) -> GroupEntity:
        ancestors = await self._groups.list_ancestors(group)
        return GroupEntity.of(group, full_name(ancestors), site)


def full_name(ancestors: list[Namespace]) -> str:
    """`Ops / Platform / Fleet`, of a chain that begins at the inside."""
    return " / ".join(namespace.name for namespace in reversed(ancestors))


def _ruby_hash(fields: dict[str, list[str]]) -> str:
    """GitLab interpolates a Ruby hash here: `{:path=>["has already been taken"]}`."""
    pairs = (f":{name}=>{msgspec.json.encode(texts).decode()}" for name, texts in fields.items())
    return "{" + ", ".join(pairs) + "}"


class ListMembers(Paginated, frozen=True, kw_only=True):
    id: str


class MemberAddress(msgspec.Struct, frozen=True):
    id: str
    user_id: int


class AddMember(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    access_level: AccessLevel
    user_id: int
    expires_at: date | None = None


FindPlace = Callable[[Call, str], Awaitable[Place]]
"""The group or project named by `:id`, as the caller sees it; raises NotFoundError."""


class MembersRest:
    """The members of one kind of thing: `/groups/:id/members` or `/projects/:id/members`."""

    def __init__(self, prefix: str, members: MembershipService, find_place: FindPlace) -> None:
        self._prefix = prefix
        self._members = members
        self._find_place = find_place

    def routes(self) -> list[Route[Any]]:
        path = f"{self._prefix}/:id/members"
        return [
            Route("GET", path, self.list, ListMembers),
            Route("POST", path, self.add, AddMember),
            Route("GET", f"{path}/:user_id", self.get, MemberAddress),
            Route("PUT", f"{path}/:user_id", self.change, AddMember),
            Route("DELETE", f"{path}/:user_id", self.remove, MemberAddress),
        ]

    async def list(self, call: Call, parameters: ListMembers) -> Reply:
        place, page = await self._find_place(call, parameters.id), Page.of(parameters)
        members, total = await self._members.list(place.source_id, limit=page.size, offset=page.offset)
        entities = [MemberEntity.of(member, user, call.site) for member, user in members]
        return page_of(call, page, entities, total)

    async def get(self, call: Call, parameters: MemberAddress) -> Reply:
        place = await self._find_place(call, parameters.id)
        member, user = await self._members.get(place.source_id, parameters.user_id)
        return Reply(MemberEntity.of(member, user, call.site))

    async def add(self, call: Call, parameters: AddMember) -> Reply:
        place = await self._find_place(call, parameters.id)
        member, user = await self._members.add(
            place, parameters.user_id, parameters.access_level, parameters.expires_at
        )
        return Reply(MemberEntity.of(member, user, call.site), 201)

    async def change(self, call: Call, parameters: AddMember) -> Reply:
        place = await self._find_place(call, parameters.id)
        member, user = await self._members.change(
            place, parameters.user_id, parameters.access_level, parameters.expires_at
        )
        return Reply(MemberEntity.of(member, user, call.site))

    async def remove(self, call: Call, parameters: MemberAddress) -> Reply:
        place = await self._find_place(call, parameters.id)
        await self._members.remove(place, call.signed_in, parameters.user_id)
        return Reply.empty()


def group_place(groups: GroupService) -> FindPlace:
    """Members of groups are managed by its owners."""

    async def find(call: Call, text: str) -> Place:
        group = await groups.get(call.user, reference(text))
        level = await groups.access_level(call.user, group)
        return Place(source_id=group.id, caller_level=level, manager_level=Role.OWNER)

    return find
