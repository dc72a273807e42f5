"""Giving people roles: the rules are one for groups and projects, the tables two."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy.exc import IntegrityError

from kasbah.hub.accounts import store as accounts_store
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import ForbiddenError, NotFoundError, TakenError
from kasbah.hub.groups.model import Member
from kasbah.hub.groups.store import MemberStore
from kasbah.hub.identity import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A group or project as the caller sees it."""

    source_id: int
    caller_level: int
    """The caller's own role there: nobody gives more than they have."""
    manager_level: int
    """The role from which members may be changed: Owner of a group, Maintainer of a project."""


class MembershipService:
    """The members of groups, or of projects."""

    def __init__(self, database: Database, clock: Clock, store: MemberStore) -> None:
        self._database = database
        self._clock = clock
        self._store = store

    async def add(
        self, place: Place, user_id: int, access_level: int, expires_at: date | None
    ) -> tuple[Member, User]:
        """Give a user a role.

        Raises:
            ForbiddenError: the caller may not change members, or not give this role.
            NotFoundError: there is no such user.
            TakenError: the user is a member already.
        """
        _check_may_give(place, access_level)
        member = Member(
            user_id=user_id,
            source_id=place.source_id,
            access_level=access_level,
            created_at=self._clock(),
            expires_at=expires_at,
        )
        try:
            async with self._database.writing() as connection:
                user = await accounts_store.find_user(connection, user_id)
                if user is None:
                    raise NotFoundError("User")
                await self._store.insert(connection, member)
        except IntegrityError as error:
            raise TakenError("Member already exists") from error
        return member, user

    async def change(
        self, place: Place, user_id: int, access_level: int, expires_at: date | None
    ) -> tuple[Member, User]:
        """Give a member another role."""
        _check_may_give(place, access_level)
        async with self._database.writing() as connection:
            member = await self._store.find(connection, place.source_id, user_id)
            user = await accounts_store.find_user(connection, user_id)
            if member is None or user is None:
                raise NotFoundError("Member")
            _check_may_give(place, member.access_level)
            await self._store.update(connection, member, access_level, expires_at)
            changed = await self._store.find(connection, place.source_id, user_id)
        return changed or member, user

    async def remove(self, place: Place, caller: User, user_id: int) -> None:
        """Take a role away; everybody may leave."""
        async with self._database.writing() as connection:
            member = await self._store.find(connection, place.source_id, user_id)
            if member is None:
                raise NotFoundError("Member")
            if user_id != caller.id:
                _check_may_give(place, member.access_level)
            await self._store.delete(connection, place.source_id, user_id)

    async def get(self, source_id: int, user_id: int) -> tuple[Member, User]:
        async with self._database.reading() as connection:
            member = await self._store.find(connection, source_id, user_id)
            user = await accounts_store.find_user(connection, user_id)
        if member is None or user is None:
            raise NotFoundError("Member")
        return member, user

    async def list(self, source_id: int, *, limit: int, offset: int) -> tuple[list[tuple[Member, User]], int]:
        async with self._database.reading() as connection:
            members, total = await self._store.list(connection, source_id, limit=limit, offset=offset)
            users = await accounts_store.find_users(connection, [member.user_id for member in members])
        return [(member, users[member.user_id]) for member in members], total


def _check_may_give(place: Place, access_level: int) -> None:
    if place.caller_level < place.manager_level or access_level > place.caller_level:
        raise ForbiddenError
