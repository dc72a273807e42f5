"""Browser sessions with kas: begun by somebody who proved who they are, checked by cookie and CSRF token, ended.

The cookie holds a token derived for kas alone: it opens no route of the hub. It is good for a day at most, and dies
with the personal access token it was begun with, and with a blocked account. Checks keep nothing.
"""

from __future__ import annotations

import hmac

from kasbah.hub.accounts import store as accounts_store
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import RefusedError, UnauthenticatedError
from kasbah.hub.identity import PersonalAccessToken, User
from kasbah.hub.sessions import store
from kasbah.hub.sessions.model import CHARACTERS, PREFIX, NewSession, StoredSession, end_of_life, is_cookie
from kasbah.kit.secrets import Secret, fingerprint, generate_token


class SessionService:
    """The life of browser sessions, and their check."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, user: User, token: PersonalAccessToken | None = None) -> NewSession:
        """A session of this user, begun with this token when there is one."""
        now = self._clock()
        new = NewSession(
            cookie=generate_token(PREFIX, CHARACTERS),
            csrf_token=generate_token("", CHARACTERS),
            expires_at=end_of_life(now, token),
        )
        async with self._database.writing() as connection:
            await store.insert(
                connection,
                user_id=user.id,
                token_id=token.id if token else None,
                cookie_hash=fingerprint(new.cookie),
                csrf_hash=fingerprint(new.csrf_token),
                now=now,
                expires_at=new.expires_at,
            )
            await store.drop_old(connection, user.id, now)
        return new

    async def authenticate(self, cookie: Secret, csrf_token: Secret) -> User:
        """The user whose browser sends this cookie and knows this CSRF token.

        Raises:
            RefusedError: the cookie is none of ours.
            UnauthenticatedError: the session, the CSRF token or the user is not good; the reason says which.
        """
        if not is_cookie(cookie.reveal()):
            raise RefusedError("Invalid access_key")
        async with self._database.reading() as connection:
            session = await store.find(connection, fingerprint(cookie))
            user = await accounts_store.find_user(connection, session.user_id) if session else None
            token = None
            if session is not None and session.token_id is not None:
                token = await accounts_store.find_token(connection, session.token_id)
        if session is None or not self._is_alive(session, token):
            raise UnauthenticatedError("Invalid session")
        if not hmac.compare_digest(fingerprint(csrf_token), session.csrf_hash):
            raise UnauthenticatedError("CSRF token does not match")
        if user is None or user.state != "active":
            raise UnauthenticatedError("Invalid user in session")
        return user

    def _is_alive(self, session: StoredSession, token: PersonalAccessToken | None) -> bool:
        now = self._clock()
        if session.token_id is not None and (token is None or not token.is_active(now)):
            return False
        return now < session.expires_at

    async def end(self, token: PersonalAccessToken) -> None:
        """End every session that was begun with this token."""
        async with self._database.writing() as connection:
            await store.end_of_token(connection, token.id)
