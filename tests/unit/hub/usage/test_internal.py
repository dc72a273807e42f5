"""kas' counters are added to ours, or refused whole."""

from __future__ import annotations

import pytest

from kasbah.hub.rest.parameters import ParametersError
from kasbah.hub.usage import store
from kasbah.hub.usage.internal import UsageInternal, UsageMetrics
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import make_call

pytestmark = pytest.mark.asyncio


async def report(hub: HubServices, counters: object, uniques: object, report_id: str = "") -> int:
    reported = UsageMetrics(counters=counters, unique_counters=uniques, report_id=report_id)
    return (await UsageInternal(hub.database, hub.clock).add(make_call(), reported)).status


async def counted(hub: HubServices) -> dict[str, int]:
    async with hub.database.reading() as connection:
        return await store.read_counters(connection)


async def test_reports_add_up_and_unknown_names_are_ignored(hub: HubServices):
    projects = {"flux_git_push_notified_unique_projects": [1, 2]}
    assert await report(hub, {"k8s_api_proxy_request": 2, "else": "x"}, projects) == 204
    assert await report(hub, {"k8s_api_proxy_request": 3, "gitops_sync": 0}, projects) == 204
    async with hub.database.reading() as connection:
        assert await store.read_counters(connection) == {"k8s_api_proxy_request": 5}
        assert await store.count_uniques(connection) == {"flux_git_push_notified_unique_projects": 2}


async def test_a_report_with_an_id_counts_once(hub: HubServices):
    for report_id in ("a", "a", "b", "a"):
        assert await report(hub, {"gitops_sync": 2}, None, report_id) == 204
    assert await counted(hub) == {"gitops_sync": 4}


async def test_an_id_is_forgotten_when_nobody_sends_it_any_more(hub: HubServices):
    await report(hub, {"gitops_sync": 1}, None, "a")
    hub.clock.turn(days=31)
    await report(hub, {"gitops_sync": 1}, None, "b")
    async with hub.database.writing() as connection:
        assert await store.first_time(connection, "a", hub.clock())


async def test_an_id_that_is_too_long_is_refused(hub: HubServices):
    with pytest.raises(ParametersError, match="report_id is too long"):
        await report(hub, {"gitops_sync": 1}, None, "a" * 65)


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
    assert await counted(hub) == {}
