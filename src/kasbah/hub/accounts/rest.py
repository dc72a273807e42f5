"""`/user`, `/users` and `/personal_access_tokens` of GitLab's REST API."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Literal

import msgspec

from kasbah.hub.accounts.model import NewToken, NewUser, Scope
from kasbah.hub.accounts.service import AccountService
from kasbah.hub.accounts.tokens import TokenService
from kasbah.hub.clock import Clock
from kasbah.hub.errors import NotFoundError
from kasbah.hub.identity import PersonalAccessToken, User
from kasbah.hub.last_used import LastUsed
from kasbah.hub.rest.access import ANY_TOKEN, READ_USER, SELF_ROTATE
from kasbah.hub.rest.call import Call, Site
from kasbah.hub.rest.pages import Page, Paginated, page_of
from kasbah.hub.rest.reply import Reply, timestamp, timestamp_or_null
from kasbah.hub.rest.router import NoParameters, Route
from kasbah.kit.secrets import Secret

_OwnScope = Literal["k8s_proxy", "self_rotate"]


class PublicUser(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody signed in may know of a user."""

    id: int
    username: str
    name: str
    state: str
    locked: bool = False
    avatar_url: str | None = None
    web_url: str

    @classmethod
    def of(cls, user: User, site: Site) -> PublicUser:
        return cls(
            id=user.id,
            username=user.username,
            name=user.name,
            state=user.state,
            web_url=f"{site.external_url.rstrip('/')}/{user.username}",
        )


class FullUser(PublicUser, frozen=True, kw_only=True):
    """What a user and the administrators know."""

    created_at: str
    email: str
    commit_email: str
    public_email: str | None = None
    is_admin: bool
    bot: bool = False
    external: bool = False
    can_create_group: bool = True
    can_create_project: bool = True
    two_factor_enabled: bool = False
    identities: tuple[str, ...] = ()

    @classmethod
    def of(cls, user: User, site: Site) -> FullUser:
        return cls(
            **msgspec.structs.asdict(PublicUser.of(user, site)),
            created_at=timestamp(user.created_at),
            email=user.email,
            commit_email=user.email,
            is_admin=user.is_admin,
        )


class TokenEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A personal access token as clients see it; `token` only when it is made."""

    id: int
    name: str
    revoked: bool
    created_at: str
    description: str | None
    scopes: tuple[str, ...]
    user_id: int
    last_used_at: str | None
    active: bool
    expires_at: str | None
    token: str | msgspec.UnsetType = msgspec.UNSET


class ListUsers(Paginated, frozen=True, kw_only=True):
    username: str | None = None
    search: str | None = None


class UserAddress(msgspec.Struct, frozen=True):
    user_id: int


class CreateUser(msgspec.Struct, frozen=True, kw_only=True):
    """Passwords are not kept: people call with tokens, which an administrator or they themselves make."""

    email: str
    name: str
    username: str
    admin: bool = False


class CreateOwnToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may make for themselves: tokens that open no REST route."""

    name: str
    scopes: list[_OwnScope]
    expires_at: date | None = None
    description: str | None = None


class CreateTokenFor(msgspec.Struct, frozen=True, kw_only=True):
    user_id: int
    name: str
    scopes: list[Scope]
    expires_at: date | None = None
    description: str | None = None


class ListTokens(Paginated, frozen=True, kw_only=True):
    user_id: int | None = None


class TokenAddress(msgspec.Struct, frozen=True):
    token_id: int


class RotateToken(msgspec.Struct, frozen=True):
    expires_at: date | None = None


class UsersRest:
    """The routes about people."""

    def __init__(self, accounts: AccountService) -> None:
        self._accounts = accounts

    def routes(self) -> list[Route[Any]]:
        return [
            Route("GET", "/user", self.current, NoParameters, READ_USER),
            Route("GET", "/users", self.list, ListUsers, READ_USER),
            Route("POST", "/users", self.create, CreateUser),
            Route("GET", "/users/:user_id", self.get, UserAddress, READ_USER),
            Route("POST", "/users/:user_id/block", self.block, UserAddress),
            Route("POST", "/users/:user_id/unblock", self.unblock, UserAddress),
        ]

    async def current(self, call: Call, _: NoParameters) -> Reply:
        return Reply(FullUser.of(call.signed_in, call.site))

    async def list(self, call: Call, parameters: ListUsers) -> Reply:
        page = Page.of(parameters)
        users, total = await self._accounts.list(
            username=parameters.username, search=parameters.search, limit=page.size, offset=page.offset
        )
        return page_of(call, page, [_shown(user, call) for user in users], total)

    async def get(self, call: Call, parameters: UserAddress) -> Reply:
        user = await self._accounts.find(parameters.user_id)
        if user is None:
            raise NotFoundError("User")
        return Reply(_shown(user, call))

    async def create(self, call: Call, parameters: CreateUser) -> Reply:
        call.require_admin()
        new = NewUser(
            username=parameters.username,
            name=parameters.name,
            email=parameters.email,
            is_admin=parameters.admin,
        )
        return Reply(FullUser.of(await self._accounts.create(new), call.site), 201)

    async def block(self, call: Call, parameters: UserAddress) -> Reply:
        call.require_admin()
        await self._accounts.set_state(parameters.user_id, "blocked")
        return Reply(body=True, status=201)

    async def unblock(self, call: Call, parameters: UserAddress) -> Reply:
        call.require_admin()
        await self._accounts.set_state(parameters.user_id, "active")
        return Reply(body=True, status=201)


class TokensRest:
    """The routes about personal access tokens."""

    def __init__(self, tokens: TokenService, last_used: LastUsed, clock: Clock) -> None:
        self._tokens = tokens
        self._last_used = last_used
        self._clock = clock

    def routes(self) -> list[Route[Any]]:
        pats = "/personal_access_tokens"
        return [
            Route("POST", f"/user{pats}", self.create_own, CreateOwnToken),
            Route("POST", f"/users/:user_id{pats}", self.create_for, CreateTokenFor),
            Route("GET", pats, self.list, ListTokens),
            Route("GET", f"{pats}/self", self.get_self, NoParameters, ANY_TOKEN),
            Route("DELETE", f"{pats}/self", self.revoke_self, NoParameters, ANY_TOKEN),
            Route("POST", f"{pats}/self/rotate", self.rotate_self, RotateToken, SELF_ROTATE),
            Route("GET", f"{pats}/:token_id", self.get, TokenAddress),
            Route("DELETE", f"{pats}/:token_id", self.revoke, TokenAddress),
        ]

    async def create_own(self, call: Call, parameters: CreateOwnToken) -> Reply:
        """Any `api` token makes tokens for the proxy, which live until tomorrow unless said otherwise."""
        new = NewToken(
            name=parameters.name,
            scopes=_unique(parameters.scopes),
            expires_at=parameters.expires_at or self._clock().date() + timedelta(days=1),
            description=parameters.description,
        )
        return self._created(*await self._tokens.create(call.signed_in.id, new))

    async def create_for(self, call: Call, parameters: CreateTokenFor) -> Reply:
        call.require_admin()
        new = NewToken(
            name=parameters.name,
            scopes=_unique(parameters.scopes),
            expires_at=parameters.expires_at,
            description=parameters.description,
        )
        return self._created(*await self._tokens.create(parameters.user_id, new))

    async def list(self, call: Call, parameters: ListTokens) -> Reply:
        page = Page.of(parameters)
        tokens, total = await self._tokens.list(
            call.signed_in, user_id=parameters.user_id, limit=page.size, offset=page.offset
        )
        return page_of(call, page, [self._entity(token) for token in tokens], total)

    async def get_self(self, call: Call, _: NoParameters) -> Reply:
        return Reply(self._entity(call.credential.token))

    async def revoke_self(self, call: Call, _: NoParameters) -> Reply:
        await self._tokens.revoke(call.credential.token.id)
        return Reply.empty()

    async def rotate_self(self, call: Call, parameters: RotateToken) -> Reply:
        token, secret = await self._tokens.rotate(call.credential, parameters.expires_at)
        return Reply(self._entity(token, secret))

    async def get(self, call: Call, parameters: TokenAddress) -> Reply:
        return Reply(self._entity(await self._tokens.get(call.signed_in, parameters.token_id)))

    async def revoke(self, call: Call, parameters: TokenAddress) -> Reply:
        token = await self._tokens.get(call.signed_in, parameters.token_id)
        await self._tokens.revoke(token.id)
        return Reply.empty()

    def _created(self, token: PersonalAccessToken, secret: Secret) -> Reply:
        return Reply(self._entity(token, secret), 201)

    def _entity(self, token: PersonalAccessToken, secret: Secret | None = None) -> TokenEntity:
        return TokenEntity(
            id=token.id,
            name=token.name,
            revoked=token.revoked,
            created_at=timestamp(token.created_at),
            description=token.description,
            scopes=token.scopes,
            user_id=token.user_id,
            last_used_at=timestamp_or_null(self._last_used.newest(token.id, token.last_used_at)),
            active=token.is_active(self._clock()),
            expires_at=token.expires_at.isoformat() if token.expires_at else None,
            token=secret.reveal() if secret else msgspec.UNSET,
        )


def _shown(user: User, call: Call) -> PublicUser:
    """Administrators see people's addresses."""
    kind = FullUser if call.signed_in.is_admin else PublicUser
    return kind.of(user, call.site)


def _unique(scopes: list[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(scopes))
