"""A request on its way to a handler, and who may send it, without a server."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from kasbah.hub.identity import Authenticated, User
from kasbah.hub.rest.call import Call, Site
from kasbah.kit.secrets import Secret
from tests.doubles.git_accounts import FakeAccounts

SITE = Site(
    external_url="https://hub.example/",
    kas_external_url="wss://hub.example/-/kubernetes-agent/",
    k8s_proxy_external_url="https://hub.example/-/kubernetes-agent/k8s-proxy/",
    version="18.6.1",
)


def make_request(
    method: str = "GET", path: str = "/api/v4/x", headers: dict[str, str] | None = None
) -> Request:
    encoded = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": encoded,
    }
    return Request(scope)


def make_call(
    path: str = "/api/v4/x",
    *,
    values: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    authenticated: Authenticated | None = None,
    job_token: Secret | None = None,
) -> Call:
    request = make_request(path=path, headers=headers)
    return Call(
        request=request, site=SITE, values=values or {}, authenticated=authenticated, job_token=job_token
    )


class AccountsInMemory(FakeAccounts):
    """People can be found too."""

    async def find(self, user_id: int) -> User | None:
        return next((user for user, _ in self.tokens.values() if user.id == user_id), None)

    async def find_by_username(self, username: str) -> User | None:
        return next((user for user, _ in self.tokens.values() if user.username == username), None)
