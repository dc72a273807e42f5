"""From a request to an answer: errors, headers, and bugs that end nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import structlog
from starlette.requests import Request

from kasbah.errors import PeerError
from kasbah.hub.api import RestApi
from kasbah.hub.rest.access import API, API_OR_NOBODY, KAS, Access
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.credentials import Authenticator
from kasbah.hub.rest.errors import KasCredentialError
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import NoParameters, Route
from tests.doubles.git_accounts import make_user
from tests.doubles.rest_call import SITE, AccountsInMemory

pytestmark = pytest.mark.asyncio


class Named(msgspec.Struct, frozen=True):
    name: str


async def hello(call: Call, parameters: Named) -> Reply:
    assert "private_token" not in call.values
    return Reply({"hello": parameters.name})


async def hello_all(_call: Call, _parameters: NoParameters) -> Reply:
    return Reply({"hello": "all"})


async def broken(_call: Call, _parameters: NoParameters) -> Reply:
    raise ZeroDivisionError


async def away(_call: Call, _parameters: NoParameters) -> Reply:
    raise PeerError("the disk is full")


def refuse_kas(_request: Request) -> None:
    raise KasCredentialError


def api() -> RestApi:
    accounts = AccountsInMemory()
    accounts.grant("good", make_user(), "api")

    def row(path: str, handler: Any, parameters: type[msgspec.Struct], access: Access = API) -> Route[Any]:
        return Route("GET", path, handler, parameters, access)

    routes = [
        row("/hello/:name", hello, Named),
        row("/open", hello_all, NoParameters, API_OR_NOBODY),
        row("/broken", broken, NoParameters, API_OR_NOBODY),
        row("/away", away, NoParameters, API_OR_NOBODY),
        row("/kas", broken, NoParameters, KAS),
    ]
    return RestApi(routes, SITE, Authenticator(accounts), refuse_kas)


async def ask(
    path: str,
    method: str = "GET",
    query: str = "",
    state: dict[str, Any] | None = None,
    **headers: str,
) -> tuple[int, dict, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "state": {} if state is None else state,
    }
    await api()(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, sent[1]["body"]


async def test_a_handler_gets_the_paths_text_decoded():
    status, _, body = await ask("/api/v4/hello/a%2Fb", private_token="good")
    assert (status, body) == (200, b'{"hello":"a/b"}')


async def test_a_credential_in_the_query_is_taken_out():
    assert (await ask("/api/v4/hello/x", query="private_token=good"))[0] == 200


async def test_only_a_credential_that_was_looked_at_makes_a_client_known():
    known: dict[str, Any] = {}
    await ask("/api/v4/hello/x", state=known, private_token="good")
    assert known == {"authenticated": True}
    await ask("/api/v4/open", state=known, authorization="Basic eDp5", cookie="a=b")
    assert known == {"authenticated": False}


async def test_head_has_the_length_and_no_body():
    status, headers, body = await ask("/api/v4/hello/x", "HEAD", private_token="good")
    assert (status, headers["content-length"], body) == (200, "13", b"")


async def test_a_known_answer_is_not_repeated():
    _, headers, _ = await ask("/api/v4/hello/x", private_token="good")
    status, again, body = await ask("/api/v4/hello/x", private_token="good", if_none_match=headers["etag"])
    assert (status, body, "content-length" in again) == (304, b"", False)


@pytest.mark.parametrize("path", ["/api/v4", "/api/v3/hello/x", "/api/v4/nope"])
async def test_other_paths_are_no_routes(path):
    assert (await ask(path))[0] == 404


async def test_a_method_that_is_not_there_is_named():
    status, headers, _ = await ask("/api/v4/broken", "PATCH")
    assert (status, headers["allow"]) == (405, "GET")


async def test_a_bug_is_logged_and_told_as_500():
    with structlog.testing.capture_logs() as logs:
        status, _, body = await ask("/api/v4/broken")
    assert (status, body) == (500, b'{"message":"500 Internal Server Error"}')
    assert logs[0]["event"] == "request failed"


async def test_what_is_away_is_503_and_the_log_says_what():
    with structlog.testing.capture_logs() as logs:
        assert (await ask("/api/v4/away"))[0] == 503
    assert logs[0]["error"] == "the disk is full"


async def test_kas_is_checked_before_anything_else():
    status, _, body = await ask("/api/v4/kas", private_token="good")
    assert (status, body) == (401, b'{"message":"KAS JWT authentication invalid"}')


@pytest.mark.parametrize(("given", "kept"), [("trace-7", True), ("a b", False), ("x" * 65, False)])
async def test_a_request_id_is_kept_when_it_is_harmless(given, kept):
    _, headers, _ = await ask("/api/v4/nope", x_request_id=given)
    assert (headers["x-request-id"] == given) is kept
