"""Who somebody is: users, and the check of a personal access token.

The one place that decides whether a token is good: REST, Git over HTTP and kas' question about a proxy user all come
here. An unknown token costs the same lookup as a known one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.accounts import store
from kasbah.hub.accounts.model import NewUser
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import (
    AccountBlockedError,
    DatabaseUnavailableError,
    FieldsInvalidError,
    NotFoundError,
    TakenError,
    TokenExpiredError,
    TokenRevokedError,
    UnauthenticatedError,
)
from kasbah.hub.identity import Authenticated, User, UserState
from kasbah.hub.last_used import LastUsed
from kasbah.kit.secrets import Secret, fingerprint

_log = structlog.get_logger()

_LONGEST_CREDENTIAL = 1024

UserCreated = Callable[[AsyncConnection, User], Awaitable[None]]
"""Called inside the transaction that makes a user: the namespace comes with it or the user does not."""


class AccountService:
    """Users, and the check of their tokens."""

    def __init__(
        self, database: Database, clock: Clock, last_used: LastUsed, on_created: UserCreated
    ) -> None:
        self._database = database
        self._clock = clock
        self._last_used = last_used
        self._on_created = on_created

    async def authenticate_pat(self, secret: Secret) -> Authenticated:
        """The user behind a personal access token.

        Raises:
            UnauthenticatedError: unknown, revoked (`TokenRevokedError`) or expired (`TokenExpiredError`).
            AccountBlockedError: the token is good, its owner is not welcome.
        """
        if len(secret.reveal()) > _LONGEST_CREDENTIAL:
            raise UnauthenticatedError
        async with self._database.reading() as connection:
            found = await store.find_token_and_user(connection, fingerprint(secret))
        if found is None:
            raise UnauthenticatedError
        authenticated = Authenticated(token=found[0], user=found[1])
        self._check(authenticated)
        await self._note_use(authenticated)
        return authenticated

    def _check(self, authenticated: Authenticated) -> None:
        if authenticated.token.revoked:
            raise TokenRevokedError
        if authenticated.token.is_expired(self._clock()):
            raise TokenExpiredError
        if authenticated.user.state != "active":
            raise AccountBlockedError

    async def _note_use(self, authenticated: Authenticated) -> None:
        token, now = authenticated.token, self._clock()
        if not self._last_used.note(token.id, now, token.last_used_at):
            return
        try:
            async with self._database.writing() as connection:
                await store.write_token_last_used(connection, token.id, now)
        except DatabaseUnavailableError as error:  # a full disk must not lock people out
            _log.warning("last use not written", token_id=token.id, error=str(error))

    async def flush_last_used(self) -> None:
        """Write what only memory knows: the program is about to end."""
        async with self._database.writing() as connection:
            for token_id, at in self._last_used.unwritten().items():
                await store.write_token_last_used(connection, token_id, at)

    async def create(self, new: NewUser) -> User:
        """A new user with a namespace of their own.

        Raises:
            FieldsInvalidError: a field breaks its rule.
            TakenError: somebody has the username or the address.
        """
        if problems := new.problems():
            raise FieldsInvalidError(problems)
        try:
            async with self._database.writing() as connection:
                if await store.email_is_taken(connection, new.email):
                    raise TakenError("Email has already been taken")
                if await store.find_user_by_name(connection, new.username):
                    raise TakenError("Username has already been taken")
                user = await store.insert_user(connection, new, self._clock())
                await self._on_created(connection, user)
        except IntegrityError as error:
            # Two at once, or a group of this path: the unique index is the judge.
            raise TakenError("Username has already been taken") from error
        return user

    async def find(self, user_id: int) -> User | None:
        async with self._database.reading() as connection:
            return await store.find_user(connection, user_id)

    async def find_by_username(self, username: str) -> User | None:
        async with self._database.reading() as connection:
            return await store.find_user_by_name(connection, username)

    async def list(
        self, *, username: str | None, search: str | None, limit: int, offset: int
    ) -> tuple[list[User], int]:
        async with self._database.reading() as connection:
            return await store.list_users(
                connection, username=username, search=search, limit=limit, offset=offset
            )

    async def set_state(self, user_id: int, state: UserState) -> User:
        """Block or unblock: takes effect with the next request of any of the user's tokens."""
        async with self._database.writing() as connection:
            user = await store.find_user(connection, user_id)
            if user is None:
                raise NotFoundError("User")
            await store.set_user_state(connection, user_id, state)
        return user
