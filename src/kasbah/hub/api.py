"""The ASGI application below /api/v4: from a request to a route, its caller, its parameters, and back.

The order is GitLab's: route, credential, scope, parameters, handler. kas' routes check the JWT before a byte of the
body is read. Errors become answers in one place; every answer carries the same headers.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from prometheus_client import Counter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kasbah.errors import KasbahError, PeerError
from kasbah.hub import http_errors
from kasbah.hub.errors import NotFoundError
from kasbah.hub.rest import body, parameters
from kasbah.hub.rest.access import ANY_TOKEN
from kasbah.hub.rest.call import Call, Site
from kasbah.hub.rest.credentials import PARAMETERS, Authenticator, find_job_token
from kasbah.hub.rest.errors import MethodNotAllowedError, NoRouteError
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import Match, Route, Router

PREFIX: Final = b"/api/v4/"
_HEADERS: Final = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "max-age=0, private, must-revalidate",
    "Vary": "Origin",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

_log = structlog.get_logger()
_requests = Counter(
    "kasbah_hub_api_requests_total",
    "REST requests answered, by route and status.",
    ("method", "route", "code"),
)

CheckKas = Callable[[Request], None]
"""Raises KasCredentialError unless kas is calling."""


class RestApi:
    """The ASGI application of every route it is given."""

    def __init__(
        self, routes: Iterable[Route[Any]], site: Site, authenticator: Authenticator, check_kas: CheckKas
    ) -> None:
        self._router = Router(routes)
        self._site = site
        self._authenticator = authenticator
        self._check_kas = check_kas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        started = time.perf_counter()
        try:
            response, route = await self._answer(request)
        except ClientDisconnect:
            return  # nobody is left to hear an answer
        _finish(request, response, started)
        _requests.labels(request.method, route, str(response.status_code)).inc()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> tuple[Response, str]:
        route = "none"
        try:
            match = self._find(request)
            route = match.route.path
            reply = await self._call(request, match)
        except ClientDisconnect:
            raise
        except KasbahError as error:
            _note(error, request.method, route)
            return _error_response(http_errors.answer_for(error)), route
        except Exception:  # noqa: BLE001 - the border of a request: one bad route must not end the program
            _log.exception("request failed", method=request.method, route=route)
            return _error_response(http_errors.INTERNAL), route
        return (reply.rendered() if isinstance(reply, Reply) else reply), route

    def _find(self, request: Request) -> Match:
        raw_path = request.scope.get("raw_path") or request.url.path.encode()
        if not raw_path.startswith(PREFIX):
            raise NoRouteError
        match = self._router.match(request.method, raw_path[len(PREFIX) :])
        if match is None:
            raise NoRouteError
        if not isinstance(match, Match):
            raise MethodNotAllowedError(match)
        return match

    async def _call(self, request: Request, match: Match) -> Reply | Response:
        route = match.route
        if route.access.kas:
            self._check_kas(request)
        values = body.parse_form(request.scope["query_string"])
        if request.method not in {"GET", "HEAD"}:
            values |= await body.read_values(request, route.max_body_bytes)
        values |= match.values
        authenticated = job_token = None
        if route.access.job and (job_token := find_job_token(request, values)) is None:
            await self._authenticator.authenticate(request, values, ANY_TOKEN)
            raise NotFoundError("Job")  # a person is no job, as GitLab says it
        if not route.access.kas and not route.access.job:
            authenticated = await self._authenticator.authenticate(request, values, route.access)
        # The server before us counts strangers: it takes our word for it and nobody else's.
        request.state.authenticated = route.access.kas or authenticated is not None
        asked = {name: value for name, value in values.items() if name not in PARAMETERS}
        call = Call(
            request=request,
            site=self._site,
            values=asked,
            authenticated=authenticated,
            job_token=job_token,
        )
        reply = await route.handler(call, parameters.read(route.parameters, asked))
        request.state.authenticated |= route.access.job  # by now the handler knows it for a job
        return reply


def _note(error: KasbahError, method: str, route: str) -> None:
    if isinstance(error, PeerError):
        _log.warning("request not served", method=method, route=route, error=str(error))


def _error_response(answer: http_errors.ErrorAnswer) -> Response:
    return Reply(answer.body, answer.status, answer.headers).rendered()


def _finish(request: Request, response: Response, started: float) -> None:
    """The headers every answer has; a repeated GET of the same content is answered 304."""
    given = request.headers.get("x-request-id", "")
    response.headers["X-Request-Id"] = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status_code == 200 and request.method in {"GET", "HEAD"} and response.body:
        tag = f'W/"{hashlib.blake2b(response.body, digest_size=16).hexdigest()}"'
        response.headers["ETag"] = tag
        if request.headers.get("if-none-match") == tag:
            response.status_code, response.body = 304, b""
            del response.headers["content-length"]
    if request.method == "HEAD":
        response.body = b""  # Content-Length stays the one GET would have
    response.headers["X-Runtime"] = f"{time.perf_counter() - started:.6f}"
