"""Who calls: the credential of a request, looked up in GitLab's order, and whether it opens the route.

`private_token` parameter, then the PRIVATE-TOKEN header, then `Authorization: Bearer`; the first one present counts,
and when it is bad nothing else is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from starlette.requests import Request

from kasbah.hub.errors import (
    ForbiddenError,
    InsufficientScopeError,
    NotFoundError,
    UnauthenticatedError,
)
from kasbah.hub.identity import Authenticated, User
from kasbah.hub.rest.access import Access
from kasbah.kit.secrets import Secret

PARAMETERS: Final = ("private_token", "access_token", "job_token")
"""Values that are credentials: taken out before anything repeats or logs the rest."""


class Accounts(Protocol):
    """Who knows people and their tokens."""

    async def authenticate_pat(self, secret: Secret) -> Authenticated: ...

    async def find(self, user_id: int) -> User | None: ...

    async def find_by_username(self, username: str) -> User | None: ...


class Authenticator:
    """Finds the caller of a request."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def authenticate(
        self, request: Request, values: Mapping[str, object], access: Access
    ) -> Authenticated | None:
        """The caller, or None where a route lets nobody in particular enter.

        Raises:
            UnauthenticatedError, AccountBlockedError: no credential, or a bad one.
            InsufficientScopeError: a good one for something else.
        """
        secret = find_credential(request, values)
        if secret is None:
            if access.anonymous:
                return None
            raise UnauthenticatedError
        authenticated = await self._accounts.authenticate_pat(secret)
        if not access.admits(authenticated.scopes, request.method):
            raise InsufficientScopeError(access.named)
        return await self._as_sudo(authenticated, request, values)

    async def _as_sudo(
        self, authenticated: Authenticated, request: Request, values: Mapping[str, object]
    ) -> Authenticated:
        """An administrator with the scope `sudo` may act as somebody else."""
        wanted = values.get("sudo") or request.headers.get("sudo")
        if not wanted:
            return authenticated
        if not authenticated.user.is_admin:
            raise ForbiddenError("Must be admin to use sudo")
        if "sudo" not in authenticated.scopes:
            raise InsufficientScopeError(("sudo",))
        name = str(wanted)[:255]
        user = await (
            self._accounts.find(int(name))
            if name.isascii() and name.isdecimal() and len(name) < 19
            else self._accounts.find_by_username(name)
        )
        if user is None:
            raise NotFoundError(f"User with ID or username '{name}'")
        return replace(authenticated, user=user)


def find_job_token(request: Request, values: Mapping[str, object]) -> Secret | None:
    """The CI job token a request carries, where GitLab's clients put it."""
    parameter = values.get("job_token")
    if isinstance(parameter, str) and parameter:
        return Secret(parameter)
    header = request.headers.get("job-token")
    return Secret(header) if header else None


def find_credential(request: Request, values: Mapping[str, object]) -> Secret | None:
    """The token a request carries."""
    parameter = values.get("private_token")
    if isinstance(parameter, str) and parameter:
        return Secret(parameter)
    if header := request.headers.get("private-token"):
        return Secret(header)
    return bearer(request.headers.get("authorization"))


def bearer(header: str | None) -> Secret | None:
    """The token of `Authorization: Bearer <token>`."""
    scheme, _, token = (header or "").partition(" ")
    return Secret(token.strip()) if scheme.lower() == "bearer" and token.strip() else None
