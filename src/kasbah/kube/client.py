"""A thin client for agentk's own questions to the API server, over the same connections as everything else."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from kasbah.errors import PeerError
from kasbah.kube.connection import UpstreamConnection
from kasbah.kube.errors import UpstreamError
from kasbah.kube.pool import UpstreamPool
from kasbah.kube.response_head import ResponseHead
from kasbah.wire.identity import impersonation_headers

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
_TIMEOUT_S: Final = 15.0


class StatusError(PeerError):
    """The API server answered with something other than success.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, retryable=status >= 500 or status == 429)
        self.status = status


class ServerVersion(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What `/version` says."""

    major: str = ""
    minor: str = ""
    git_version: str = ""
    platform: str = ""


class KubeClient:
    """Asks the API server as agentk itself."""

    def __init__(self, pool: UpstreamPool) -> None:
        self._pool = pool

    async def get_json(self, path: str) -> Any:
        """The decoded answer to a GET.

        Raises:
            StatusError: any answer but 200.
            UpstreamError: no answer, or not JSON.
        """
        return _decoded(await self._ask("GET", path), path)

    async def send_json(self, method: str, path: str, content: object) -> Any:
        """The decoded answer to a POST or PUT of this, whole.

        Raises:
            StatusError: any answer but 200 and 201.
            UpstreamError: no answer; what was asked may have been done.
        """
        return _decoded(await self._ask(method, path, msgspec.json.encode(content)), path)

    async def server_version(self) -> ServerVersion:
        """The version of the cluster.

        Raises:
            PeerError: the API server cannot be reached or does not say.
        """
        version: ServerVersion = _decoded(await self._ask("GET", "/version"), "/version", ServerVersion)
        return version

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        question = _Question(self._request(method, path, body))
        self._pool.acquire(question)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await question.answer
        except TimeoutError as error:
            raise UpstreamError(f"{method} {path}: no answer in {_TIMEOUT_S:g} s", retryable=True) from error
        finally:
            question.give_up(self._pool)

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        access = self._pool.access
        lines = [f"{method} {access.base_path}{path} HTTP/1.1".encode(), f"Host: {access.authority}".encode()]
        lines += [b"Accept: application/json", b"User-Agent: kasbah-agentk"]
        if (authorization := access.authorization.value) is not None:
            lines.append(b"Authorization: " + authorization.reveal().encode())
        lines += [b"%b: %b" % header for header in impersonation_headers(access.identity)]
        if body is not None:
            lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


class _Question:
    """One exchange; the answer is gathered whole."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._body = bytearray()
        self._status = 0
        self._connection: UpstreamConnection | None = None
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def give_up(self, pool: UpstreamPool) -> None:
        """Nobody waits any more; nothing happens after a whole answer."""
        pool.forget(self)
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def connected(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.begin(self, self._request, request_open=False, bodiless=False, upgrade=b"")

    def answer_began(self, head: ResponseHead) -> None:
        self._status = head.status

    def answer_data(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > MAX_ANSWER_BYTES and self._connection is not None:
            self._connection.abort()
            self._connection = None
            self._settle(UpstreamError(f"the API server's answer is over {MAX_ANSWER_BYTES} bytes"))

    def answer_ended(self) -> None:
        self._connection = None
        if self._status in {200, 201}:
            self._settle(bytes(self._body))
        else:
            self._settle(
                StatusError(self._status, f"the API server answered {self._status}{_reason(self._body)}")
            )

    def exchange_failed(self, error: UpstreamError, *, stale: bool) -> None:
        del stale
        self._connection = None
        self._settle(error)

    def writing_paused(self) -> None:
        """A question is a head and a small object: it fits the buffer."""

    def writing_resumed(self) -> None:
        """As above."""

    def _settle(self, result: bytes | PeerError) -> None:
        if self.answer.done():
            return
        if isinstance(result, bytes):
            self.answer.set_result(result)
        else:
            self.answer.set_exception(result)


def _decoded(body: bytes, path: str, expected: Any = Any) -> Any:
    try:
        return msgspec.json.decode(body, type=expected)
    except msgspec.DecodeError as error:
        raise UpstreamError(f"the API server's {path} is not what it should be: {error}") from error


def _reason(body: bytes | bytearray) -> str:
    """What a `Status` object says, if the body is one."""
    try:
        message = msgspec.json.decode(body)["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
    return f": {str(message)[:200]}"
