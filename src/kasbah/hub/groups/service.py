"""Groups and namespaces: found, made, and who holds which role in them."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import FieldsInvalidError, ForbiddenError, NotFoundError
from kasbah.hub.groups import store
from kasbah.hub.groups.model import (
    DEEPEST_GROUP,
    NO_ACCESS,
    Member,
    Namespace,
    NewGroup,
    Role,
    name_problems,
    path_problems,
)
from kasbah.hub.identity import User

_ROW_NOT_WRITTEN_YET = 0


class GroupService:
    """Groups, users' namespaces, and roles in them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add_user_namespace(self, connection: AsyncConnection, user: User) -> None:
        """The namespace of a new user, in the transaction that makes the user."""
        now = self._clock()
        await store.insert(
            connection,
            Namespace(
                id=_ROW_NOT_WRITTEN_YET,
                kind="user",
                name=user.name,
                path=user.username,
                full_path=user.username,
                parent_id=None,
                root_id=_ROW_NOT_WRITTEN_YET,
                owner_id=user.id,
                description="",
                visibility="public",
                created_at=now,
                updated_at=now,
            ),
        )

    async def create(self, caller: User, new: NewGroup) -> Namespace:
        """A new group; the caller becomes its owner.

        Raises:
            NotFoundError, ForbiddenError: the parent is not the caller's to build in.
            FieldsInvalidError: a field breaks its rule, or the path is taken.
        """
        parent = await self.get(caller, new.parent_id) if new.parent_id is not None else None
        if parent is not None and await self.access_level(caller, parent) < Role.MAINTAINER:
            raise ForbiddenError
        _check(new, parent)
        now = self._clock()
        group = Namespace(
            id=_ROW_NOT_WRITTEN_YET,
            kind="group",
            name=new.name,
            path=new.path,
            full_path=f"{parent.full_path}/{new.path}" if parent else new.path,
            parent_id=new.parent_id,
            root_id=parent.root_id if parent else _ROW_NOT_WRITTEN_YET,
            owner_id=None,
            description=new.description,
            visibility=new.visibility,
            created_at=now,
            updated_at=now,
        )
        try:
            async with self._database.writing() as connection:
                group = await store.insert(connection, group)
                await store.members.insert(connection, _owner(group, caller))
        except IntegrityError as error:
            raise FieldsInvalidError({"path": ["has already been taken"]}) from error
        return group

    async def get(self, caller: User | None, reference: int | str) -> Namespace:
        """The group with this number or full path, if the caller may see it.

        Raises:
            NotFoundError: there is none, or not for this caller.
        """
        group = await self.find_namespace(reference)
        if group is None or group.kind != "group" or not await self.can_read(caller, group):
            raise NotFoundError("Group")
        return group

    async def find_namespace(self, reference: int | str) -> Namespace | None:
        """The group or user's namespace with this number or full path, whoever asks."""
        async with self._database.reading() as connection:
            if isinstance(reference, int):
                return await store.find(connection, reference)
            return await store.find_by_path(connection, reference)

    async def find_of_user(self, user: User) -> Namespace:
        """The user's own namespace.

        Raises:
            NotFoundError: only a user of a damaged database has none.
        """
        async with self._database.reading() as connection:
            namespace = await store.find_of_user(connection, user.id)
        if namespace is None:
            raise NotFoundError("Namespace")
        return namespace

    async def list_ancestors(self, namespace: Namespace) -> list[Namespace]:
        """The namespace and those above it, the nearest first."""
        async with self._database.reading() as connection:
            return await store.list_ancestors(connection, namespace)

    async def list(
        self, caller: User | None, *, search: str | None, below: int | None, limit: int, offset: int
    ) -> tuple[list[Namespace], int]:
        async with self._database.reading() as connection:
            return await store.list_groups(
                connection,
                caller,
                today=self._clock().date(),
                search=search,
                below=below,
                limit=limit,
                offset=offset,
            )

    async def access_level(self, user: User | None, namespace: Namespace) -> int:
        """The user's role in the namespace; administrators own everything."""
        if user is None:
            return NO_ACCESS
        if user.is_admin:
            return Role.OWNER
        async with self._database.reading() as connection:
            return await store.access_level(connection, user.id, namespace.id, self._clock().date())

    async def can_read(self, user: User | None, namespace: Namespace) -> bool:
        if namespace.visibility == "public" or (namespace.visibility == "internal" and user is not None):
            return True
        return await self.access_level(user, namespace) > NO_ACCESS


def _check(new: NewGroup, parent: Namespace | None) -> None:
    fields = {
        "name": name_problems(new.name),
        "path": path_problems(new.path, parent.full_path if parent else ""),
        "parent_id": _depth_problems(parent),
    }
    if any(fields.values()):
        raise FieldsInvalidError({name: problems for name, problems in fields.items() if problems})


def _depth_problems(parent: Namespace | None) -> list[str]:
    if parent is not None and parent.full_path.count("/") + 1 >= DEEPEST_GROUP:
        return [f"is already {DEEPEST_GROUP} levels deep, which is as deep as groups go"]
    return []


def _owner(group: Namespace, caller: User) -> Member:
    return Member(
        user_id=caller.id,
        source_id=group.id,
        access_level=Role.OWNER,
        created_at=group.created_at,
        expires_at=None,
    )
