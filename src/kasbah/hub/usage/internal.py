"""`POST /internal/kubernetes/usage_metrics`: kas' counters, added to ours.

Names we do not know are ignored, as GitLab does, so the tables stay as small as the two lists below and the ids in
use. A report with an id, which kas of ours sends again when it heard no answer, counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy.exc import IntegrityError

from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import DatabaseUnavailableError
from kasbah.hub.rest.access import KAS
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.parameters import Json, ParametersError
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import Route
from kasbah.hub.usage import store

_LARGEST: Final = 2**31
_MOST_IDS: Final = 10_000
_LONGEST_REPORT_ID: Final = 64
REPORTS_KEPT: Final = timedelta(days=30)
"""A kas sends its report again for as long as it runs; one of a month ago is nobody's."""

COUNTERS: Final = frozenset(
    {
        "gitops_sync",
        "k8s_api_proxy_request",
        "flux_git_push_notifications_total",
        "k8s_api_proxy_requests_via_ci_access",
        "k8s_api_proxy_requests_via_user_access",
        "k8s_api_proxy_requests_via_pat_access",
    }
)
UNIQUE_COUNTERS: Final = frozenset(
    {
        "agent_users_using_ci_tunnel",
        "k8s_api_proxy_requests_unique_users_via_ci_access",
        "k8s_api_proxy_requests_unique_users_via_user_access",
        "k8s_api_proxy_requests_unique_users_via_pat_access",
        "k8s_api_proxy_requests_unique_agents_via_ci_access",
        "k8s_api_proxy_requests_unique_agents_via_user_access",
        "k8s_api_proxy_requests_unique_agents_via_pat_access",
        "flux_git_push_notified_unique_projects",
    }
)


class UsageMetrics(msgspec.Struct, frozen=True):
    counters: Json = None
    unique_counters: Json = None
    report_id: str = ""
    """An addition of ours: the same report has the same id."""


class UsageInternal:
    """The route of kas about usage."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route[Any]]:
        return [Route("POST", "/internal/kubernetes/usage_metrics", self.add, UsageMetrics, KAS)]

    async def add(self, _: Call, parameters: UsageMetrics) -> Reply:
        increments = _increments(_known(parameters.counters, COUNTERS, "counters"))
        ids = _ids(_known(parameters.unique_counters, UNIQUE_COUNTERS, "unique_counters"))
        if len(parameters.report_id) > _LONGEST_REPORT_ID:
            raise ParametersError(["report_id is too long"])
        if increments or ids:
            await self._store(parameters.report_id, increments, ids)
        return Reply.empty()

    async def _store(
        self, report_id: str, increments: Mapping[str, int], ids: Mapping[str, list[int]]
    ) -> None:
        now = self._clock()
        try:
            async with self._database.writing() as connection:
                if report_id and not await store.first_time(connection, report_id, now):
                    return
                await store.forget_reports(connection, now - REPORTS_KEPT)
                await store.increase(connection, increments)
                for name, values in ids.items():
                    await store.add_uniques(connection, name, values)
        except IntegrityError as error:
            # Two kas told us of a new name or id, or one of them the same report, at once (PostgreSQL only); nothing was counted, so ask again.
            raise DatabaseUnavailableError("two reports crossed", retryable=True) from error


def _known(section: Json, names: frozenset[str], what: str) -> dict[str, Any]:
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise ParametersError([f"{what} is invalid"])
    return {name: value for name, value in section.items() if name in names and value is not None}


def _increments(counters: Mapping[str, Any]) -> dict[str, int]:
    for name, value in counters.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST:
            raise ParametersError([f"counters[{name}] is invalid"])
    return {name: value for name, value in counters.items() if value}


def _ids(counters: Mapping[str, Any]) -> dict[str, list[int]]:
    for name, values in counters.items():
        if not isinstance(values, list) or len(values) > _MOST_IDS or not all(map(_is_id, values)):
            raise ParametersError([f"unique_counters[{name}] is invalid"])
    return {name: values for name, values in counters.items() if values}


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
