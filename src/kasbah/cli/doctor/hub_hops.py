"""The looks at the hub (or GitLab): the way to it, whether it is one, the token, and where kas is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import SplitResult

from kasbah.cli.errors import NotAllowedError
from kasbah.cli.hosts import Host
from kasbah.cli.lookup import find_proxy_url
from kasbah.cli.resources import AccessToken, Metadata
from kasbah.errors import UserError
from kasbah.kit.doctor import clock, http_faults
from kasbah.kit.doctor.check import Check, FaultError, Finding
from kasbah.kit.doctor.link import Answer
from kasbah.kit.doctor.way import Way

if TYPE_CHECKING:
    from kasbah.cli.api_client import ApiClient

T = TypeVar("T")
_SOON: Final = timedelta(days=3)
_LOG_IN: Final = "make another token and log in with it: `kasbah login`"


class HubHops:
    """Learns, on its way, the token's scopes and where kas' Kubernetes API is."""

    def __init__(self, host: Host, url: SplitResult, way: Way, connect: Callable[[], ApiClient]) -> None:
        self.scopes: frozenset[str] = frozenset()
        self.proxy_url = ""
        self._host = host
        self._path = url.path
        self._way = way
        self._connect = connect
        self._answer = Answer()

    def checks(self) -> list[Check]:
        """In order."""
        api = ("hub.api",)
        return [
            Check(name="login", doing="read the login", look=self._look_at_login),
            *self._way.checks("login"),
            Check(name="hub.api", doing="ask for its API", look=self._look_at_api, needs=(self._way.last,)),
            Check(name="hub.clock", doing="compare clocks", look=self._look_at_clock, needs=api),
            Check(
                name="hub.token", doing="show it the token", look=self._look_at_token, needs=api, limit_s=45
            ),
            Check(
                name="hub.metadata",
                doing="ask it where kas is",
                look=self._look_at_metadata,
                needs=("hub.token",),
                limit_s=45,
            ),
        ]

    async def call(self, question: Callable[[ApiClient], T]) -> T:
        """Ask its API with the client that all commands use."""

        def ask() -> T:
            with self._connect() as api:
                return question(api)

        return await asyncio.to_thread(ask)

    async def _look_at_login(self) -> Finding:
        who = f" as {self._host.username}" if self._host.username else ""
        return Finding(seen=f"{self._host.url}{who}")

    async def _look_at_api(self) -> Finding:
        target = f"{self._path}/api/v4/metadata"
        lines = [f"GET {target} HTTP/1.1", f"Host: {self._way.where}", "User-Agent: kasbah-doctor"]
        lines += ["Accept: application/json", "Connection: close"]
        self._answer = await self._way.ask(("\r\n".join(lines) + "\r\n\r\n").encode())
        if self._answer.status not in {200, 401} or "json" not in self._answer.headers.get(
            "content-type", ""
        ):
            raise http_faults.of(self._answer, server="the hub", target=target)
        return Finding(seen="the REST API answers, and wants a token")

    async def _look_at_clock(self) -> Finding:
        date = self._answer.headers.get("date", "")
        if not date:
            return Finding(seen="it does not say its time")
        return clock.compare(date, datetime.now(UTC), "the hub")

    async def _look_at_token(self) -> Finding:
        try:
            token = await self.call(lambda api: api.get("/personal_access_tokens/self", AccessToken))
        except NotAllowedError as error:
            raise _token_refused(str(error)) from error
        self.scopes = frozenset(token["scopes"])
        return judge_token(token, datetime.now(UTC))

    async def _look_at_metadata(self) -> Finding:
        try:
            metadata = await self.call(lambda api: api.get("/metadata", Metadata))
            self.proxy_url = await self.call(find_proxy_url)
        except NotAllowedError as error:
            raise _token_refused(str(error)) from error
        except UserError as error:
            raise FaultError(
                "kas-disabled", str(error), "an administrator enables the agent server (kas) on this host"
            ) from error
        return Finding(seen=f"API of GitLab {metadata['version']}; kas' Kubernetes API is {self.proxy_url}")


def judge_token(token: AccessToken, now: datetime) -> Finding:
    """What a token's own record says.

    Raises:
        FaultError: it is of no use.
    """
    scopes, ends = token["scopes"], token.get("expires_at")
    if not token.get("active", True):
        raise FaultError("hub-token-expired", f"the token has expired or was revoked ({ends})", _LOG_IN)
    if not {"api", "k8s_proxy"} & set(scopes):
        raise FaultError(
            "hub-token-scope",
            f"the token has only {', '.join(scopes)}: neither `api` nor `k8s_proxy`",
            "make one with the scope `api` (or `read_api` and `k8s_proxy`) and log in with it",
        )
    seen = f"the token {token['name']!r} has {', '.join(scopes)}; " + (
        f"good until {ends}" if ends else "it never expires"
    )
    if ends and datetime.fromisoformat(ends).replace(tzinfo=UTC) - now < _SOON:
        return Finding(seen=seen, warning="hub-token-expires-soon", advice=_LOG_IN)
    return Finding(seen=seen)


def _token_refused(told: str) -> FaultError:
    lower = told.lower()
    if "expired" in lower:
        return FaultError("hub-token-expired", told, _LOG_IN)
    if "revoked" in lower:
        return FaultError("hub-token-revoked", told, _LOG_IN)
    if "not allowed" in lower:
        return FaultError("hub-token-scope", told, "make a token with the scope `api` and log in with it")
    return FaultError("hub-token-unknown", told, _LOG_IN)
