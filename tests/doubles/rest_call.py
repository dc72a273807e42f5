"""A request on its way to a handler, without a server."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from kasbah.hub.identity import Authenticated
from kasbah.hub.rest.call import Call, Site

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
) -> Call:
    request = make_request(path=path, headers=headers)
    return Call(request=request, site=SITE, values=values or {}, authenticated=authenticated)
