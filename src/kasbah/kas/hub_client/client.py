"""The calls kas makes to the Git side; only complete answers are believed.

`agent_info` is remembered for a few seconds, so that a storm of reconnecting agents is no storm for the Git side; a
revoked token works at most `agent_info_ttl_s` longer, or not at all where `fresh` is asked for. Nothing else is
remembered here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2
import msgspec

from kasbah.kas.hub_client import answers
from kasbah.kas.hub_client.errors import (
    FileTooLargeError,
    HubContractError,
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
    NotARegularFileError,
)
from kasbah.kas.hub_client.exchange import RETRY, Answer, Exchange, Question
from kasbah.kas.hub_client.expiring import ExpiringCache
from kasbah.kas.hub_client.records import AgentInfo, ProxyUser, RepositoryHead, UsageMetrics
from kasbah.kas.hub_client.settings import HubClientSettings
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.secrets import Secret, fingerprint
from kasbah.kit.token_bucket import TokenBucket

_MAX_REMEMBERED_TOKENS: Final = 10_000
_PREFIX: Final = "/api/v4/internal/kubernetes/"
_FILE_NOT_FOUND: Final = "404 File Not Found"
_WRONG_JWT: Final = "KAS JWT authentication invalid"
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,512}")
_REFUSALS: Final[Mapping[int, type[HubError]]] = {
    401: HubUnauthenticatedError,
    403: HubForbiddenError,
    404: HubNotFoundError,
}


class HubClient:
    """Speaks GitLab's internal API over the given HTTP client, whose base URL is the Git side's address.

    Args:
        http: with `httpx2.ASGITransport(app, raise_app_exceptions=False)` the hub of the same process.
        secret: the 32 bytes kas and the Git side share.
        clock: seconds since 1970, for the JWT.
        elapsed: seconds since whenever: what is remembered must die in time though somebody sets the clock back.
        retry: how idempotent calls are tried again within their deadlines.
        settings: how often the Git side is asked, and for how long its answers are remembered.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        secret: bytes,
        *,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
        retry: BackoffSettings = RETRY,
        settings: HubClientSettings | None = None,
    ) -> None:
        self._settings = settings or HubClientSettings()
        turns = TokenBucket(self._settings.calls_per_s, self._settings.calls_at_once)
        self._exchange = Exchange(http, secret, clock, retry, turns)
        self._agents = ExpiringCache[str, AgentInfo | HubError](elapsed, _MAX_REMEMBERED_TOKENS)

    async def agent_info(self, token: Secret, *, fresh: bool = False) -> AgentInfo:
        """The agent this token belongs to.

        Args:
            token: the agent's token.
            fresh: ask even when the answer is remembered.

        Raises:
            HubUnauthenticatedError: the token is unknown or revoked.
            HubForbiddenError, HubNotFoundError: as the Git side says.
            HubUnavailableError: later, perhaps.
            HubContractError: the answer is not complete.
        """
        _check_token(token)
        key = fingerprint(token)
        known = None if fresh else self._agents.get(key)
        if known is None:
            known = await self._ask_agent_info(token, key)
        if isinstance(known, HubError):
            raise type(known)(str(known))
        return known

    async def _ask_agent_info(self, token: Secret, key: str) -> AgentInfo | HubError:
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        answer = await self._exchange.ask(_get("agent_info", headers=headers))
        if answer.status == 200:
            info = answers.decode(answer.body, answers.AgentInfoAnswer, "agent_info").record()
            self._agents.put(key, info, self._settings.agent_info_ttl_s)
            return info
        refusal = _refusal(answer, "agent_info")
        if not isinstance(refusal, HubContractError):
            self._agents.put(key, refusal, self._settings.agent_info_error_ttl_s)
        return refusal

    async def authorize_proxy_user(self, agent_id: int, token: Secret) -> ProxyUser:
        """Who this personal access token belongs to, and as whom they may use the agent. Never remembered here.

        Raises:
            HubUnauthenticatedError: the token is unknown, revoked or expired.
            HubForbiddenError: they may not use this agent.
            HubNotFoundError: there is no such agent.
            HubUnavailableError: later, perhaps.
            HubContractError: the answer is not complete; nothing is allowed by it.
        """
        _check_token(token)
        answer = await self._exchange.ask(
            _post(
                "authorize_proxy_user",
                {
                    "agent_id": agent_id,
                    "access_type": "personal_access_token",
                    "access_key": token.reveal(),
                    "csrf_token": "",
                },
                retry=True,
            )
        )
        if answer.status == 400:  # GitLab's word for a token it has never seen
            raise HubUnauthenticatedError(answers.message_of(answer.body) or "the token is not known")
        _expect(answer, 200, "authorize_proxy_user")
        user = answers.decode(answer.body, answers.ProxyUserAnswer, "authorize_proxy_user").record()
        if user.agent_id != agent_id:
            raise HubContractError(f"asked about agent {agent_id}, the Git side answered for {user.agent_id}")
        return user

    async def agent_configuration(self, agent_id: int, config: Mapping[str, Any]) -> None:
        """Tell the Git side an agent's whole configuration file; it replaces who may use the agent.

        An agent that is gone is no error.

        Raises:
            HubError: it was not taken.
        """
        body = {"agent_id": agent_id, "agent_config": config}
        answer = await self._exchange.ask(_post("agent_configuration", body, retry=True))
        if answer.status != 404:
            _expect(answer, 204, "agent_configuration")

    async def repository_head(self, project_id: int) -> RepositoryHead:
        """Where the project's default branch stands.

        Raises:
            HubNotFoundError: there is no such project.
            HubError: it could not be found out.
        """
        answer = await self._exchange.ask(
            _get("repository_head", query={"project_id": project_id}, retry=True)
        )
        _expect(answer, 200, "repository_head")
        return answers.decode(answer.body, RepositoryHead, "repository_head")

    async def repository_file(
        self, project_id: int, commit_id: str, path: str, *, max_bytes: int
    ) -> bytes | None:
        """The file's bytes at that commit; None when there is no such file.

        Raises:
            FileTooLargeError, NotARegularFileError: what is there is not taken.
            HubNotFoundError: there is no such project or commit.
            HubError: it could not be read.
        """
        query: dict[str, str | int] = {"project_id": project_id, "commit_id": commit_id}
        query |= {"path": path, "max_bytes": max_bytes}
        question = _get("repository_file", query=query, max_bytes=max(max_bytes, 4096), retry=True)
        answer = await self._exchange.ask(question)
        if answer.status == 404 and answers.message_of(answer.body) == _FILE_NOT_FOUND:
            return None
        if answer.status == 413 or (answer.status == 200 and len(answer.body) > max_bytes):
            raise FileTooLargeError(f"{path} is larger than {max_bytes} bytes")
        if answer.status == 422:
            raise NotARegularFileError(f"{path} is not a regular file")
        _expect(answer, 200, "repository_file")
        return answer.body

    async def usage_metrics(self, metrics: UsageMetrics) -> None:
        """Add to the Git side's counters. Asked once: whoever asks again knows by the id that it is the same.

        Raises:
            HubError: it is not known whether they were added.
        """
        answer = await self._exchange.ask(_post("usage_metrics", metrics))
        _expect(answer, 204, "usage_metrics")


def _get(
    name: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str | int] | None = None,
    retry: bool = False,
    max_bytes: int = 1024 * 1024,
) -> Question:
    return Question(
        method="GET",
        path=_PREFIX + name,
        headers=headers or {},
        query=query or {},
        retry=retry,
        max_bytes=max_bytes,
    )


def _post(name: str, body: object, *, retry: bool = False) -> Question:
    return Question(method="POST", path=_PREFIX + name, body=msgspec.json.encode(body), retry=retry)


def _expect(answer: Answer, status: int, what: str) -> None:
    if answer.status != status:
        raise _refusal(answer, what)


def _check_token(token: Secret) -> None:
    """No token of the Git side's is longer, or holds spaces or control characters: do not even ask."""
    if not _TOKEN.fullmatch(token.reveal()):
        raise HubUnauthenticatedError("this is not the form of a token")


def _refusal(answer: Answer, what: str) -> HubError:
    message = answers.message_of(answer.body)
    if answer.status == 401 and message == _WRONG_JWT:
        return HubContractError(
            "the Git side does not take kas' JWT: both need the same secret and the right time"
        )
    refusal = _REFUSALS.get(answer.status)
    if refusal is None:
        return HubContractError(f"{what} answered {answer.status} {message}".rstrip())
    return refusal(message)
