"""The calls kas makes to the Git side; only complete answers are believed.

What an agent may do is remembered for a while, refusals too, so that a storm of agents is no storm for the Git side:
`HubClientSettings` says how long. A revoked token works that much longer, or not at all where `fresh` is asked for. What
people may do is never remembered here.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import httpx2
import msgspec

from kasbah.kas.hub_client import allowed_agents, answers
from kasbah.kas.hub_client.errors import (
    FileTooLargeError,
    HubContractError,
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
    NoRepositoryRoutesError,
    NotARegularFileError,
    RefNotFoundError,
    TooManyFilesError,
)
from kasbah.kas.hub_client.exchange import MAX_JSON_BYTES, RETRY, Answer, Exchange, Question, StreamedAnswer
from kasbah.kas.hub_client.expiring import AnswerMemory
from kasbah.kas.hub_client.module_request import ModuleRequest
from kasbah.kas.hub_client.records import (
    AgentInfo,
    ProjectInfo,
    ProxyJob,
    ProxyUser,
    Ref,
    RepositoryFile,
    RepositoryHead,
    UsageMetrics,
)
from kasbah.kas.hub_client.settings import HubClientSettings
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.secrets import Secret, fingerprint
from kasbah.kit.token_bucket import TokenBucket

_MAX_REMEMBERED_TOKENS: Final = 10_000
_MAX_REMEMBERED_PROJECTS: Final = 10_000
_PREFIX: Final = "/api/v4/internal/kubernetes/"
_MAX_TREE_BYTES: Final = 8 * 1024 * 1024
_FILE_NOT_FOUND: Final = "404 File Not Found"
_REF_NOT_FOUND: Final = "404 Ref Not Found"
_OURS_NOT_FOUND: Final = frozenset(
    {_FILE_NOT_FOUND, _REF_NOT_FOUND, "404 Project Not Found", "404 Commit Not Found"}
)
"""How our routes say 404; a Git side that says it in other words has no such routes."""
_WRONG_JWT: Final = "KAS JWT authentication invalid"
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,512}")
_COOKIE: Final = re.compile(r"[\x20-\x7e]{1,4096}")
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
        given = settings or HubClientSettings()
        turns = TokenBucket(given.calls_per_s, given.calls_at_once)
        self._exchange = Exchange(http, secret, clock, retry, turns)
        self._agents = AnswerMemory[str, AgentInfo](
            elapsed,
            _MAX_REMEMBERED_TOKENS,
            ttl_s=given.agent_info_ttl_s,
            error_ttl_s=given.agent_info_error_ttl_s,
        )
        self._projects = AnswerMemory[tuple[str, str], ProjectInfo](
            elapsed,
            _MAX_REMEMBERED_PROJECTS,
            ttl_s=given.project_info_ttl_s,
            error_ttl_s=given.project_info_error_ttl_s,
        )
        self._access = AnswerMemory[tuple[str, str], bool](
            elapsed,
            _MAX_REMEMBERED_PROJECTS,
            ttl_s=given.project_access_ttl_s,
            error_ttl_s=given.project_access_error_ttl_s,
        )

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
        return await self._agents.get(fingerprint(token), lambda: self._ask_agent_info(token), fresh=fresh)

    async def _ask_agent_info(self, token: Secret) -> AgentInfo:
        answer = await self._exchange.ask(_get("agent_info", headers=_as_agent(token)))
        _expect(answer, 200, "agent_info")
        return answers.decode(answer.body, answers.AgentInfoAnswer, "agent_info").record()

    async def project_info(self, token: Secret, full_path: str) -> ProjectInfo:
        """A project whose repository the token's agent may read.

        Raises:
            HubUnauthenticatedError: the token is unknown or revoked.
            HubForbiddenError, HubNotFoundError: it may not, or there is no such project.
            HubUnavailableError, HubContractError: it could not be found out.
        """
        _check_token(token)

        async def ask() -> ProjectInfo:
            question = _get("project_info", headers=_as_agent(token), query={"id": full_path})
            answer = await self._exchange.ask(question)
            _expect(answer, 200, "project_info")
            return answers.decode(answer.body, answers.ProjectInfoAnswer, "project_info").record()

        return await self._projects.get((fingerprint(token), full_path), ask)

    async def verify_project_access(self, token: Secret, full_path: str) -> None:
        """Returns when the token's agent may hear of this project.

        Raises:
            HubUnauthenticatedError: the token is unknown or revoked.
            HubForbiddenError, HubNotFoundError: it may not, or there is no such project.
            HubUnavailableError, HubContractError: it could not be found out.
        """
        _check_token(token)

        async def ask() -> bool:
            question = _get("verify_project_access", headers=_as_agent(token), query={"id": full_path})
            _expect(await self._exchange.ask(question), 204, "verify_project_access")
            return True

        await self._access.get((fingerprint(token), full_path), ask)

    @asynccontextmanager
    async def module_request(
        self,
        token: Secret,
        request: ModuleRequest,
        body: AsyncIterator[bytes] | None,
        length: int | None = None,
    ) -> AsyncGenerator[StreamedAnswer]:
        """An agent's request to a module of the Git side, and the answer as it comes, whatever its status.

        The body is read while it is sent; what it raises ends the request and comes back from here, or as an answer
        of the Git side. With a length it has exactly that many bytes.

        Raises:
            HubUnauthenticatedError: this is no token.
            HubUnavailableError: no answer, or no more of it.
        """
        _check_token(token)
        headers = (*request.headers, (b"Authorization", b"Bearer " + token.reveal().encode()))
        if body is not None and length is not None:
            headers = (*headers, (b"Content-Length", b"%d" % length))
        target = f"{_PREFIX}modules/{request.target}"
        async with self._exchange.stream(request.method, target, headers, body) as answer:
            yield answer

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
        return await self._authorize_proxy_user(agent_id, "personal_access_token", token.reveal())

    async def authorize_proxy_session(self, agent_id: int, cookie: Secret, csrf_token: Secret) -> ProxyUser:
        """Whose browser session this is, and as whom they may use the agent. Never remembered here.

        Raises:
            HubUnauthenticatedError: there is no such session, it is over, or the token is not its own.
            HubForbiddenError, HubNotFoundError, HubUnavailableError, HubContractError: as `authorize_proxy_user`.
        """
        if not _COOKIE.fullmatch(cookie.reveal()):
            raise HubUnauthenticatedError("this is not the form of a session")
        _check_token(csrf_token)
        return await self._authorize_proxy_user(
            agent_id, "session_cookie", cookie.reveal(), csrf_token.reveal()
        )

    async def authorize_proxy_job(self, agent_id: int, job_token: Secret) -> ProxyJob:
        """Which CI job this token belongs to, and as whom it may use the agent. Never remembered here.

        Raises:
            AgentNotAllowedError: the job may not use this agent.
            HubUnauthenticatedError: the token is unknown, or its job is over.
            HubForbiddenError, HubNotFoundError: as the Git side says.
            HubUnavailableError: later, perhaps.
            HubContractError: the answer is not complete; nothing is allowed by it.
        """
        _check_token(job_token)
        answer = await self._exchange.ask(
            Question(
                method="GET",
                path=allowed_agents.PATH,
                headers={"Job-Token": job_token.reveal()},
                retry=True,
                signed=False,
            )
        )
        _expect(answer, 200, "allowed_agents")
        return allowed_agents.read(answer.body, agent_id)

    async def _authorize_proxy_user(
        self,
        agent_id: int,
        access_type: Literal["personal_access_token", "session_cookie"],
        access_key: str,
        csrf_token: str = "",
    ) -> ProxyUser:
        question = {
            "agent_id": agent_id,
            "access_type": access_type,
            "access_key": access_key,
            "csrf_token": csrf_token,
        }
        answer = await self._exchange.ask(_post("authorize_proxy_user", question, retry=True))
        if answer.status == 400:  # GitLab's word for a token it has never seen, or a cookie it cannot decrypt
            raise HubUnauthenticatedError(answers.message_of(answer.body) or "the credential is not known")
        _expect(answer, 200, "authorize_proxy_user")
        user = answers.decode(answer.body, answers.ProxyUserAnswer, "authorize_proxy_user").record()
        if user.agent_id != agent_id:
            raise HubContractError(f"asked about agent {agent_id}, the Git side answered for {user.agent_id}")
        return user

    async def agent_configuration(
        self,
        agent_id: int,
        config: Mapping[str, Any],
        *,
        lines: Mapping[str, int] | None = None,
        commit_id: str = "",
    ) -> None:
        """Tell the Git side an agent's whole configuration file; it replaces who may use the agent.

        An agent that is gone is no error. Where the entries stand, and in which commit, only our hub listens to.

        Raises:
            HubError: it was not taken.
        """
        body = {
            "agent_id": agent_id,
            "agent_config": config,
            "agent_config_lines": lines or {},
            "commit_id": commit_id,
        }
        answer = await self._exchange.ask(_post("agent_configuration", body, retry=True))
        if answer.status != 404:
            _expect(answer, 204, "agent_configuration")

    async def repository_head(self, project_id: int) -> RepositoryHead:
        """Where the project's default branch stands.

        Raises:
            HubNotFoundError: there is no such project.
            HubError: it could not be found out.
        """
        answer = await self._ask_repository("repository_head", {"project_id": project_id})
        return answers.decode(answer.body, RepositoryHead, "repository_head")

    async def repository_ref(self, project_id: int, ref: Ref | None = None) -> str | None:
        """The commit of a ref, or of the default branch; None while nothing was pushed to that.

        Raises:
            RefNotFoundError: there is no such ref.
            HubNotFoundError: there is no such project.
            HubError: it could not be found out.
        """
        query: dict[str, str | int] = {"project_id": project_id}
        if ref is not None:
            query[ref.kind] = ref.name
        answer = await self._ask_repository("repository_ref", query)
        return answers.decode(answer.body, answers.RefAnswer, "repository_ref").commit_id

    async def repository_tree(
        self, project_id: int, commit_id: str, *, path: str = "", depth: int | None = None
    ) -> tuple[RepositoryFile, ...]:
        """The files below a directory of a commit, in Git's order; none when there is no such directory.

        Args:
            project_id: the project.
            commit_id: the commit's full id.
            path: the directory; empty for the top.
            depth: how many levels; all when None.

        Raises:
            TooManyFilesError: more than the Git side lists.
            HubNotFoundError: there is no such project or commit.
            HubError: they could not be found out.
        """
        query: dict[str, str | int] = {"project_id": project_id, "commit_id": commit_id, "path": path}
        if depth is not None:
            query["depth"] = depth
        answer = await self._ask_repository("repository_tree", query, max_bytes=_MAX_TREE_BYTES)
        return answers.decode(answer.body, answers.TreeAnswer, "repository_tree").files

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
        try:
            answer = await self._ask_repository("repository_file", query, max_bytes=max(max_bytes, 4096))
        except HubNotFoundError as error:
            if str(error) == _FILE_NOT_FOUND:
                return None
            raise
        if len(answer.body) > max_bytes:
            raise FileTooLargeError(f"{path} is larger than {max_bytes} bytes")
        return answer.body

    async def _ask_repository(
        self, name: str, query: Mapping[str, str | int], *, max_bytes: int = MAX_JSON_BYTES
    ) -> Answer:
        answer = await self._exchange.ask(_get(name, query=query, retry=True, max_bytes=max_bytes))
        if answer.status != 200:
            raise _repository_refusal(answer, name, query)
        return answer

    async def usage_metrics(self, metrics: UsageMetrics) -> None:
        """Add to the Git side's counters. Asked once: whoever asks again knows by the id that it is the same.

        Raises:
            HubError: it is not known whether they were added.
        """
        answer = await self._exchange.ask(_post("usage_metrics", metrics))
        _expect(answer, 204, "usage_metrics")


def _as_agent(token: Secret) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token.reveal()}"}


def _get(
    name: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str | int] | None = None,
    retry: bool = False,
    max_bytes: int = MAX_JSON_BYTES,
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
        error: HubError = HubContractError(f"{what} answered {answer.status} {message}".rstrip())
    else:
        error = refusal(message)
        error.reason = answers.reason_of(answer.body)
    error.status = answer.status
    return error


def _repository_refusal(answer: Answer, name: str, query: Mapping[str, str | int]) -> HubError:
    message = answers.message_of(answer.body)
    match answer.status:
        case 404 if message == _REF_NOT_FOUND:
            return RefNotFoundError(message)
        case 404 if message not in _OURS_NOT_FOUND:
            return NoRepositoryRoutesError(
                f"the Git side has no route {name}: it does not show its repositories to kas, as Kasbah's hub does"
            )
        case 413 if name == "repository_tree":
            return TooManyFilesError(message)
        case 413:
            return FileTooLargeError(f"{query['path']} is larger than {query['max_bytes']} bytes")
        case 422:
            return NotARegularFileError(f"{query.get('path')} is not a regular file")
    return _refusal(answer, name)
