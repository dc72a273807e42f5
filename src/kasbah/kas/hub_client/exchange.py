"""One HTTP exchange with the Git side: signed, bounded in time and size, tried again when that is safe.

An exchange of others, passed through, is neither judged nor repeated, and its answer is handed on as it comes.
Knows statuses that mean "later" and none of the routes. Redirects are not followed: the address of the Git side is
a setting, not something an answer may change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from kasbah import __version__
from kasbah.kas.hub_client import jwt
from kasbah.kas.hub_client.errors import HubContractError, HubUnavailableError
from kasbah.kit.backoff import Backoff, BackoffSettings
from kasbah.kit.jitter import chance
from kasbah.kit.token_bucket import TokenBucket
from kasbah.wire.http1 import Headers

RETRY: Final = BackoffSettings(initial_s=0.1, maximum_s=30, reset_s=60)
MAX_RETRIES: Final = 4
USER_AGENT: Final = f"gitlab-kas/{__version__}/kasbah"
MAX_JSON_BYTES: Final = 1024 * 1024
STREAM_IDLE_S: Final = 60.0
"""Between two pieces of an exchange that is passed through."""
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, and how patiently."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    """JSON."""
    max_bytes: int = MAX_JSON_BYTES
    """A longer answer is an error."""
    deadline_s: float = 10.0
    """For all tries together."""
    retry: bool = False
    """Whether the same question may be asked twice."""
    signed: bool = True
    """Whether kas says who it is; the public API gets the credential in the question and nothing else."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes


class StreamedAnswer:
    """An answer whose body is still coming.

    Attributes:
        status: as the Git side says.
        reason: the words beside it.
        headers: all of them.
    """

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.reason = response.reason_phrase
        self.headers: Headers = tuple(response.headers.raw)
        self._response = response

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body's bytes as they were sent, whatever their encoding.

        Raises:
            HubUnavailableError: the rest does not come.
        """
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except (httpx2.HTTPError, OSError) as error:
            raise _unavailable(self._response.request, error) from error


class Exchange:
    """Asks over a client whose base URL is the Git side's address; its path is kept as a prefix."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        secret: bytes,
        clock: Callable[[], float],
        retry: BackoffSettings,
        turns: TokenBucket,
    ) -> None:
        self._http = http
        self._jwt = jwt.KasJwt(secret, clock)
        self._retry = retry
        self._turns = turns

    async def ask(self, question: Question) -> Answer:
        """The answer, whatever its status but the ones that mean "later".

        Raises:
            HubUnavailableError: no answer in time.
            HubContractError: an answer that cannot be taken.
        """
        try:
            async with asyncio.timeout(question.deadline_s):
                return await self._ask_again_and_again(question)
        except TimeoutError as error:
            raise HubUnavailableError(
                f"no answer to {question.method} {question.path} within {question.deadline_s:g} s"
            ) from error

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> AsyncGenerator[StreamedAnswer]:
        """One exchange, passed through: nothing is judged, and nothing held but a piece.

        A server that answers before it has read the whole body is heard when the body was sent, if it lingers so long;
        one in this process at once.

        Raises:
            HubUnavailableError: no answer.
        """
        await self._wait_for_turn(Question(method=method, path=path))
        request = self._build(
            method,
            path,
            signed=True,
            headers=[*headers, (b"User-Agent", USER_AGENT.encode())],
            content=body,
            timeout=STREAM_IDLE_S,
        )
        try:
            response = await self._http.send(request, stream=True, follow_redirects=False)
        except (httpx2.HTTPError, OSError) as error:
            raise _unavailable(request, error) from error
        try:
            yield StreamedAnswer(response)
        finally:
            await response.aclose()

    def _build(self, method: str, path: str, *, signed: bool, **request: Any) -> httpx2.Request:
        """Without what earlier answers have set."""
        self._http.cookies.clear()
        built = self._http.build_request(method, path, **request)
        if signed:
            built.headers[jwt.HEADER] = self._jwt.current()
        return built

    async def _ask_again_and_again(self, question: Question) -> Answer:
        backoff = Backoff(self._retry)
        loop = asyncio.get_running_loop()
        for _ in range(MAX_RETRIES if question.retry else 0):
            try:
                return await self._ask_once(question)
            except HubUnavailableError:
                await asyncio.sleep(backoff.failed(loop.time(), chance()))
        return await self._ask_once(question)

    async def _ask_once(self, question: Question) -> Answer:
        await self._wait_for_turn(question)
        request = self._request(question)
        try:
            response = await self._http.send(request, stream=True, follow_redirects=False)
            try:
                body = await _read(response, question)
            finally:
                await response.aclose()
        except (httpx2.HTTPError, OSError) as error:
            raise _unavailable(request, error) from error
        if response.status_code in _LATER:
            raise HubUnavailableError(
                f"{question.method} {question.path} answered {response.status_code}",
                status=response.status_code,
            )
        return Answer(response.status_code, response.headers.get("content-type", ""), body)

    async def _wait_for_turn(self, question: Question) -> None:
        wait_s = self._turns.take(asyncio.get_running_loop().time(), question.deadline_s)
        if wait_s is None:
            raise HubUnavailableError(
                f"{question.method} {question.path} was not asked: there are too many calls (api_rate_limit)"
            )
        if wait_s:
            await asyncio.sleep(wait_s)

    def _request(self, question: Question) -> httpx2.Request:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
            **question.headers,
        }
        if question.body is not None:
            headers["Content-Type"] = "application/json"
        return self._build(
            question.method,
            question.path,
            signed=question.signed,
            params=question.query or None,
            headers=headers,
            content=question.body,
        )


def _unavailable(request: httpx2.Request, error: Exception) -> HubUnavailableError:
    why = str(error) or type(error).__name__
    return HubUnavailableError(f"{request.method} {request.url.path} failed: {why}")


async def _read(response: httpx2.Response, question: Question) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > question.max_bytes:
            raise HubContractError(
                f"{question.method} {question.path} answered more than {question.max_bytes} bytes"
            )
    return bytes(body)
