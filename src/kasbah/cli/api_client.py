"""The public REST API (GitLab's, `/api/v4`) as a person's token sees it.

One place knows headers, pages, error bodies and what each status means to a person. Objects are checked for the fields
we read and handed on whole, so that `-o json` prints what the API said. Blocking, one connection pool a command;
redirects are not followed, because they would carry the token to another host.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import httpx2
import msgspec

from kasbah.cli import token_request
from kasbah.cli.errors import NotAllowedError, NotFoundError, UnreachableError
from kasbah.cli.hosts import Host
from kasbah.cli.resources import Identified, Json
from kasbah.errors import KasbahError, PeerError, UserError

_TIMEOUT: Final = httpx2.Timeout(30, connect=10)
_MAX_PAGES: Final = 1000
_NOT_OUR_API: Final = "is the URL that of a Kasbah or a GitLab?"

T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound=Identified)


class ApiClient:
    """Calls below `/api/v4` of one host; use it as a context manager.

    Every call raises NotFoundError (404), NotAllowedError (401, 403), UserError (any other refusal),
    UnreachableError (no trustworthy answer) or PeerError (the answer is not GitLab's API).
    """

    def __init__(self, host: Host, transport: httpx2.BaseTransport | None = None) -> None:
        self.host = host
        self._http = httpx2.Client(
            base_url=f"{host.url}/api/v4",
            headers={"PRIVATE-TOKEN": host.token.reveal(), "User-Agent": "kasbah"},
            verify=_trust(host),
            timeout=_TIMEOUT,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, kind: type[T], params: Mapping[str, str] | None = None) -> T:
        """One object."""
        return _checked(self._decoded(self._send("GET", path, params=params)), kind)

    def iterate(
        self, path: str, kind: type[ObjectT], params: Mapping[str, str] | None = None
    ) -> Iterator[ObjectT]:
        """Every object of a list, page by page as they are asked for."""
        page = "1"
        for _ in range(_MAX_PAGES):
            query = {**(params or {}), "per_page": "100", "page": page}
            response = self._send("GET", path, params=query)
            yield from _checked(self._decoded(response), list[kind])  # type: ignore[valid-type] # a parameter
            page = response.headers.get("X-Next-Page", "")
            if not page:
                return
        raise PeerError(f"{self.host.url} answered more than {_MAX_PAGES} pages to one list")

    def post(self, path: str, kind: type[T], body: Json) -> T:
        """Create something."""
        return _checked(self._decoded(self._send("POST", path, body=body)), kind)

    def delete(self, path: str) -> None:
        """Delete or revoke something."""
        self._send("DELETE", path)

    def _send(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Json | None = None
    ) -> httpx2.Response:
        try:
            response = self._http.request(method, path.lstrip("/"), params=params, json=body)
        except httpx2.RequestError as error:
            raise _unreachable(self.host, error) from error
        except httpx2.InvalidURL as error:
            raise UserError(f"{self.host.url} cannot be called: {error}") from error
        if not response.is_success:
            raise _refusal(self.host, response)
        return response

    def _decoded(self, response: httpx2.Response) -> Any:
        try:
            return msgspec.json.decode(response.content)
        except (msgspec.DecodeError, RecursionError) as error:
            raise PeerError(f"the answer of {self.host.url} is not JSON; {_NOT_OUR_API}") from error


def _trust(host: Host) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if host.ca_certificate:
        try:
            context.load_verify_locations(cadata=host.ca_certificate)
        except ssl.SSLError as error:
            raise UserError(
                f"the certificate authority of {host.url} is not valid PEM: {error.reason}"
            ) from error
    return context


def _checked(document: Any, kind: type[T]) -> T:
    """The document itself, once it has shown the fields we read."""
    try:
        msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise PeerError(f"the answer is not what GitLab's API gives ({error}); {_NOT_OUR_API}") from error
    return cast("T", document)  # validated just above; msgspec's own copy would lose the keys we do not name


def _unreachable(host: Host, error: httpx2.RequestError) -> UnreachableError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UnreachableError(token_request.distrust(host, cause.verify_message))
        cause = cause.__cause__ or cause.__context__
    reason = str(error) or type(error).__name__
    return UnreachableError(
        f"cannot reach {host.url}: {reason}; is it up, and is the URL right?", retryable=True
    )


def _refusal(host: Host, response: httpx2.Response) -> KasbahError:
    status, reason = response.status_code, token_request.message_of(response.content)
    if status == 401:
        again = f"log in again with `kasbah login --url {host.url}`"
        return NotAllowedError(f"{host.url} does not accept the token ({reason or 'unauthorized'}): {again}")
    if status == 403:
        return NotAllowedError(
            f"not allowed: {reason or 'forbidden'}; ask for a higher role, or a token with more scopes"
        )
    if status == 404:
        where = response.request.url.path.removeprefix("/api/v4")
        return NotFoundError(f"{reason or 'not found'}: {where}")
    if response.is_redirect:
        return UserError(f"{host.url} redirects elsewhere; log in with the URL it lives at")
    if status == 429:
        return UnreachableError(f"{host.url} asks to slow down; try again in a minute", retryable=True)
    if status >= 500:
        return PeerError(f"{host.url} failed with {status}: {reason or 'no reason given'}", retryable=True)
    return UserError(reason or f"{host.url} refused with {status}")
