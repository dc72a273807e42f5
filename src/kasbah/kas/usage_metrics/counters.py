"""GitLab's usage counters, as long as nobody has taken them for a report: numbers, and sets of ids.

Counting is a dictionary's increment and a set's insertion, for it happens with every request; what the report says is
worked out when it is made. Bounded: beyond `MOST_IDS` further ids of a kind are not seen until the next report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

MOST_IDS: Final = 10_000
"""Of one kind in one report; the Git side takes no more."""

GITOPS_SYNC: Final = "gitops_sync"
FLUX_NOTIFICATIONS: Final = "flux_git_push_notifications_total"
FLUX_NOTIFIED_PROJECTS: Final = "flux_git_push_notified_unique_projects"
_PROXY_REQUEST: Final = "k8s_api_proxy_request"
_CI_TUNNEL_USERS: Final = "agent_users_using_ci_tunnel"
_VIA: Final[Mapping[str, str]] = {"ci_job": "ci", "personal_access_token": "pat", "session_cookie": "user"}
"""How the counters name the ways people come by, for each access type."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What happened since the last time somebody asked."""

    counters: dict[str, int]
    unique_counters: dict[str, list[int]]


class UsageCounters:
    """Counted by everybody, taken by the reporter."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seen: dict[str, set[int]] = {}
        self._requests: Counter[str] = Counter()
        self._proxied: set[tuple[str, int, int]] = set()

    def count(self, name: str) -> None:
        """One more of the counter."""
        self._counts[name] += 1

    def see(self, name: str, number: int) -> None:
        """This id was there, for a unique counter."""
        seen = self._seen.setdefault(name, set())
        if len(seen) < MOST_IDS:
            seen.add(number)

    def proxied(self, access_type: str, user_id: int, agent_id: int) -> None:
        """One more request passed the Kubernetes API proxy.

        Args:
            access_type: what kind of credential it showed.
            user_id: who asked, or for whom a job did.
            agent_id: through which agent.
        """
        self._requests[access_type] += 1
        if len(self._proxied) < MOST_IDS:
            self._proxied.add((access_type, user_id, agent_id))

    def take(self) -> Usage | None:
        """What was counted, from zero again; None when there is nothing."""
        counts, seen = self._counts, self._seen
        counts[_PROXY_REQUEST] += self._requests.total()
        for access_type, number in self._requests.items():
            counts[f"k8s_api_proxy_requests_via_{_VIA[access_type]}_access"] += number
        _add_proxied(seen, self._proxied)
        self._counts, self._seen, self._requests, self._proxied = Counter(), {}, Counter(), set()
        counters = {name: number for name, number in counts.items() if number}
        uniques = {name: sorted(numbers) for name, numbers in seen.items()}
        return Usage(counters, uniques) if counters or uniques else None


def _add_proxied(seen: dict[str, set[int]], proxied: Iterable[tuple[str, int, int]]) -> None:
    for access_type, user_id, agent_id in proxied:
        via = _VIA[access_type]
        seen.setdefault(f"k8s_api_proxy_requests_unique_users_via_{via}_access", set()).add(user_id)
        seen.setdefault(f"k8s_api_proxy_requests_unique_agents_via_{via}_access", set()).add(agent_id)
        if via == "ci":
            seen.setdefault(_CI_TUNNEL_USERS, set()).add(user_id)
