"""kas' counters are added to ours, or refused whole."""

from __future__ import annotations

import pytest

from kasbah.hub.rest.parameters import ParametersError
from kasbah.hub.usage import store
from kasbah.hub.usage.internal import UsageInternal, UsageMetrics
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import make_call

pytestmark = pytest.mark.asyncio


async def report(hub: HubServices, counters: object, uniques: object) -> int:
    reported = UsageMetrics(counters=counters, unique_counters=uniques)
    return (await UsageInternal(hub.database).add(make_call(), reported)).status


async def test_reports_add_up_and_unknown_names_are_ignored(hub: HubServices):
    projects = {"flux_git_push_notified_unique_projects": [1, 2]}
    assert await report(hub, {"k8s_api_proxy_request": 2, "else": "x"}, projects) == 204
    assert await report(hub, {"k8s_api_proxy_request": 3, "gitops_sync": 0}, projects) == 204
    async with hub.database.reading() as connection:
        assert await store.read_counters(connection) == {"k8s_api_proxy_request": 5}
        assert await store.count_uniques(connection) == {"flux_git_push_notified_unique_projects": 2}


async def test_an_empty_report_is_fine(hub: HubServices):
    assert await report(hub, None, None) == 204


@pytest.mark.parametrize(
    ("counters", "uniques"),
    [
        ({"gitops_sync": -1}, None),
        ({"gitops_sync": 2**31}, None),
        ({"gitops_sync": True}, None),
        ({"gitops_sync": "1"}, None),
        ("x", None),
        (None, {"agent_users_using_ci_tunnel": 7}),
        (None, {"agent_users_using_ci_tunnel": [0]}),
        (None, {"agent_users_using_ci_tunnel": [True]}),
        (None, {"agent_users_using_ci_tunnel": [1] * 10_001}),
        ({"gitops_sync": 1}, {"agent_users_using_ci_tunnel": ["x"]}),
    ],
)
async def test_a_report_that_makes_no_sense_changes_nothing(hub: HubServices, counters, uniques):
    with pytest.raises(ParametersError):
        await report(hub, counters, uniques)
    async with hub.database.reading() as connection:
        assert await store.read_counters(connection) == {}
