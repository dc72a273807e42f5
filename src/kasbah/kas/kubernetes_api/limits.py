"""How many requests one person and one agent may have under way."""

from __future__ import annotations

from typing import Final, TypeVar

from prometheus_client import Counter, Gauge

from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings

K = TypeVar("K", str, int)

UNDERWAY: Final = Gauge(
    "kasbah_kas_kubernetes_api_underway", "Proxied requests under way, open-ended ones included"
)
LIMITED: Final = Counter(
    "kasbah_kas_kubernetes_api_limited", "Requests refused with 429 because too many are under way", ["limit"]
)


class Underway:
    """Counts what is under way; ordinary and open-ended requests apart."""

    def __init__(self, settings: KubernetesApiSettings) -> None:
        self._requests = _Shares(
            "requests", settings.max_requests_per_principal, settings.max_requests_per_agent
        )
        self._streams = _Shares("streams", settings.max_streams_per_principal, settings.max_streams_per_agent)
        self.total = 0
        UNDERWAY.set_function(lambda: float(self.total))  # counting costs less than telling each time

    def enter(self, grant: Grant, *, open_ended: bool) -> bool:
        """Count one more; False when it is one too many, and then it is not counted."""
        entered = (self._streams if open_ended else self._requests).enter(grant)
        self.total += entered
        return entered

    def leave(self, grant: Grant, *, open_ended: bool) -> None:
        """One less."""
        (self._streams if open_ended else self._requests).leave(grant)
        self.total -= 1


class _Shares:
    def __init__(self, name: str, per_principal: int, per_agent: int) -> None:
        self._per_principal, self._per_agent = per_principal, per_agent
        self._principals: dict[str, int] = {}
        self._agents: dict[int, int] = {}
        self._principal_limited = LIMITED.labels(f"{name}_per_principal")
        self._agent_limited = LIMITED.labels(f"{name}_per_agent")

    def enter(self, grant: Grant) -> bool:
        principal, agent = self._principals.get(grant.principal, 0), self._agents.get(grant.agent_id, 0)
        if principal >= self._per_principal:
            self._principal_limited.inc()
            return False
        if agent >= self._per_agent:
            self._agent_limited.inc()
            return False
        self._principals[grant.principal] = principal + 1
        self._agents[grant.agent_id] = agent + 1
        return True

    def leave(self, grant: Grant) -> None:
        _decrement(self._principals, grant.principal)
        _decrement(self._agents, grant.agent_id)


def _decrement(tally: dict[K, int], key: K) -> None:
    left = tally[key] - 1
    if left > 0:
        tally[key] = left
    else:
        del tally[key]
