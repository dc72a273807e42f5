"""Chooses who answers a request, by the raw bytes of its path: the proxy, an agent's tunnel, or the hub."""

from __future__ import annotations

from typing import Final

from kasbah.kas.http_server.exchange import AgentUpgrade, Client, Exchange, NullExchange, Route
from kasbah.wire.http1 import RequestHead

AGENT_PATH: Final = b"/-/kubernetes-agent/"
PROXY_PREFIX: Final = b"/-/kubernetes-agent/k8s-proxy/"


class Router:
    """The `Route` of the public surface."""

    def __init__(self, *, proxy: Route, agent_upgrade: AgentUpgrade, application: Route) -> None:
        """`proxy` answers below `PROXY_PREFIX`, `agent_upgrade` takes agents' WebSockets, `application` the rest."""
        self._proxy = proxy
        self._agent_upgrade = agent_upgrade
        self._application = application

    def __call__(self, head: RequestHead, client: Client) -> Exchange:
        target = head.target
        if target.startswith(PROXY_PREFIX):
            return self._proxy(head, client)
        if not target.startswith(AGENT_PATH[:-1]):
            return self._application(head, client)
        path = target.partition(b"?")[0]
        if path == PROXY_PREFIX[:-1]:
            return self._proxy(head, client)
        if path in {AGENT_PATH, AGENT_PATH[:-1]} and asks_for_websocket(head):
            self._agent_upgrade(head, client.take_over())
            return NullExchange()
        return self._application(head, client)


def asks_for_websocket(head: RequestHead) -> bool:
    """Whether the request opens a WebSocket handshake; its details are the taker's to check."""
    return head.method == b"GET" and head.upgrade.lower() == b"websocket" and not head.has_body
