"""Personal access tokens: made, shown once, listed, revoked, rotated."""

from __future__ import annotations

from datetime import date, timedelta

from kasbah.hub.accounts import store
from kasbah.hub.accounts.model import NewToken
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import NotFoundError, UnauthenticatedError, UnprocessableError
from kasbah.hub.identity import Authenticated, PersonalAccessToken, User
from kasbah.hub.last_used import LastUsed
from kasbah.kit.secrets import Secret, fingerprint, generate_token

PREFIX = "glpat-"
CHARACTERS = 50
_LONGEST_LIFE = timedelta(days=365)
_ROTATED_LIFE = timedelta(days=7)


class TokenService:
    """The life of personal access tokens; their check is the accounts' business."""

    def __init__(self, database: Database, clock: Clock, last_used: LastUsed) -> None:
        self._database = database
        self._clock = clock
        self._last_used = last_used

    async def create(self, owner_id: int, new: NewToken) -> tuple[PersonalAccessToken, Secret]:
        """The token's record and its value, which is known now and never again.

        Raises:
            UnprocessableError: a text is too long, or the token would live longer than a year.
            NotFoundError: there is no such user.
        """
        self._check(new)
        secret = generate_token(PREFIX, CHARACTERS)
        async with self._database.writing() as connection:
            if await store.find_user(connection, owner_id) is None:
                raise NotFoundError("User")
            token = await store.insert_token(connection, owner_id, new, fingerprint(secret), self._clock())
        return token, secret

    def _check(self, new: NewToken) -> None:
        if not new.name.strip():
            raise UnprocessableError("Name can't be blank")
        if len(new.name) > 255:
            raise UnprocessableError("Name is too long (maximum is 255 characters)")
        if new.description is not None and len(new.description) > 255:
            raise UnprocessableError("Description is too long (maximum is 255 characters)")
        latest = self._clock().date() + _LONGEST_LIFE
        if new.expires_at is not None and new.expires_at > latest:
            raise UnprocessableError(f"Expiration date must be before {latest.isoformat()}")

    async def get(self, caller: User, token_id: int) -> PersonalAccessToken:
        """A token of the caller, or any for an administrator; others hear nothing of its existence.

        Raises:
            UnauthenticatedError: it is not the caller's, or there is none.
            NotFoundError: there is none, said to administrators only.
        """
        async with self._database.reading() as connection:
            token = await store.find_token(connection, token_id)
        if token is None and caller.is_admin:
            raise NotFoundError
        if token is None or (token.user_id != caller.id and not caller.is_admin):
            raise UnauthenticatedError
        return token

    async def list(
        self, caller: User, *, user_id: int | None, limit: int, offset: int
    ) -> tuple[list[PersonalAccessToken], int]:
        """The caller's tokens; an administrator may ask for another user's, or for all."""
        if not caller.is_admin:
            if user_id not in {None, caller.id}:
                raise UnauthenticatedError
            user_id = caller.id
        async with self._database.reading() as connection:
            return await store.list_tokens(connection, user_id=user_id, limit=limit, offset=offset)

    async def revoke(self, token_id: int) -> None:
        """Cut the token off; doing so twice is fine."""
        async with self._database.writing() as connection:
            await store.revoke_token(connection, token_id)
        self._last_used.forget(token_id)

    async def rotate(
        self, caller: Authenticated, expires_at: date | None
    ) -> tuple[PersonalAccessToken, Secret]:
        """Revoke the caller's token and make its successor, in one step."""
        old = caller.token
        until = expires_at or self._clock().date() + _ROTATED_LIFE
        new = NewToken(name=old.name, scopes=old.scopes, expires_at=until, description=old.description)
        self._check(new)
        secret = generate_token(PREFIX, CHARACTERS)
        async with self._database.writing() as connection:
            if not await store.revoke_token(connection, old.id):
                raise UnauthenticatedError  # somebody rotated it a moment ago
            token = await store.insert_token(connection, old.user_id, new, fingerprint(secret), self._clock())
        return token, secret
