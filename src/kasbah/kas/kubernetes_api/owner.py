"""What one proxied request needs of the rest of kas: the ways out, the books, the limits.

Interfaces only, beside their one user, the exchange; `KubernetesApiProxy` is the owner.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Protocol

from kasbah.kas.kubernetes_api.authorizer import Authorizer
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.kept_watch import WatchClient
from kasbah.kas.kubernetes_api.lease import LeaseKeeper
from kasbah.kas.kubernetes_api.limits import Underway
from kasbah.kas.kubernetes_api.record import Journal
from kasbah.kas.kubernetes_api.refusals import Explainer
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.kubernetes_api.tap import SessionRecorder
from kasbah.kas.reverse_tunnel.registry import Waiter
from kasbah.wire.request_policy import ProxyRequest
from kasbah.wire.stream import Stream, StreamClass, StreamHandler


class Tunnels(Protocol):
    """The way to the agents; `TunnelRegistry` is one."""

    def open_nowait(
        self, grant: Grant, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> Stream | None: ...

    def wait(self, agent_id: int, waiter: Waiter) -> None: ...

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None: ...

    def is_busy(self, agent_id: int) -> bool: ...

    def away_s(self, agent_id: int) -> float: ...


class Watches(Protocol):
    """The way to the agents for watches, which outlives a tunnel; see `watches`."""

    def open_nowait(self, grant: Grant, request: ProxyRequest, client: WatchClient) -> Stream | None: ...


class Usage(Protocol):
    """Counts what passes; `UsageCounters` is one."""

    def proxied(self, access_type: str, user_id: int, agent_id: int) -> None: ...


class ExchangeOwner(Protocol):
    """What an exchange needs of the proxy."""

    settings: KubernetesApiSettings
    authorizer: Authorizer
    leases: LeaseKeeper
    underway: Underway
    tunnels: Tunnels

    @property
    def watches(self) -> Watches: ...

    journal: Journal
    explainer: Explainer
    recorder: SessionRecorder
    usage: Usage
    seeking: set[Waiter]
    """Those who have no stream yet, because something must be waited for."""

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run this in the proxy's TaskGroup; it must not raise."""
