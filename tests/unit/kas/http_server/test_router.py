from __future__ import annotations

import pytest

from kasbah.kas.http_server.exchange import NullExchange
from kasbah.kas.http_server.router import Router
from kasbah.wire import http1


class Taken:
    """A client whose connection may be taken over."""

    def take_over(self) -> str:
        return "upgrade"


def route(target: bytes, *lines: bytes) -> str:
    chosen: list[str] = []
    router = Router(
        proxy=lambda _head, _client: chosen.append("proxy") or NullExchange(),
        agent_upgrade=lambda _head, upgrade: chosen.append(f"agent {upgrade}"),
        application=lambda _head, _client: chosen.append("hub") or NullExchange(),
    )
    headers = b"".join(line + b"\r\n" for line in (b"Host: a", *lines))
    router(http1.request_head(b"GET " + target + b" HTTP/1.1\r\n" + headers + b"\r\n"), Taken())
    (answer,) = chosen
    return answer


WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: WebSocket")


@pytest.mark.parametrize(
    ("target", "lines", "answer"),
    [
        (b"/", (), "hub"),
        (b"/api/v4/version", WEBSOCKET, "hub"),
        (b"/-/kubernetes-agent/k8s-proxy/version", (), "proxy"),
        (b"/-/kubernetes-agent/k8s-proxy/api/v1/pods", WEBSOCKET, "proxy"),
        (b"/-/kubernetes-agent/k8s-proxy", (), "proxy"),
        (b"/-/kubernetes-agent/k8s-proxy?x=1", (), "proxy"),
        (b"/-/kubernetes-agent/", WEBSOCKET, "agent upgrade"),
        (b"/-/kubernetes-agent", WEBSOCKET, "agent upgrade"),
        (b"/-/kubernetes-agent/", (), "hub"),
        (b"/-/kubernetes-agent/other", WEBSOCKET, "hub"),
        (b"/%2D/kubernetes-agent/k8s-proxy/version", (), "hub"),
    ],
)
def test_the_raw_path_decides(target, lines, answer):
    assert route(target, *lines) == answer
