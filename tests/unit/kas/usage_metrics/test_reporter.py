"""Differences with an id: nothing counts twice, nothing is forgotten while the Git side is away."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.hub_client.errors import HubContractError, HubError, HubUnavailableError
from kasbah.kas.hub_client.records import UsageMetrics
from kasbah.kas.usage_metrics.counters import GITOPS_SYNC, UsageCounters
from kasbah.kas.usage_metrics.reporter import UsageReporter

pytestmark = pytest.mark.asyncio


class Hub:
    """Takes reports, or says these errors first."""

    def __init__(self, *errors: HubError) -> None:
        self.told: list[UsageMetrics] = []
        self._errors = list(errors)

    async def usage_metrics(self, metrics: UsageMetrics) -> None:
        self.told.append(metrics)
        if self._errors:
            raise self._errors.pop(0)


def counted(counters: UsageCounters, times: int) -> None:
    for _ in range(times):
        counters.count(GITOPS_SYNC)


async def run_for(reporter: UsageReporter, seconds: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reporter.run())
        await asyncio.sleep(seconds)
        running.cancel()


async def test_each_report_is_a_difference_with_an_id_of_its_own():
    hub, counters = Hub(), UsageCounters()
    reporter = UsageReporter(counters, hub, 60)
    for times in (2, 3, 0):
        counted(counters, times)
        await reporter.report()
    assert [metrics.counters for metrics in hub.told] == [{"gitops_sync": 2}, {"gitops_sync": 3}]
    assert len({metrics.report_id for metrics in hub.told}) == 2


async def test_an_unanswered_report_goes_again_as_it_was():
    hub, counters = Hub(HubUnavailableError("away"), HubUnavailableError("away")), UsageCounters()
    reporter = UsageReporter(counters, hub, 60)
    for _ in range(4):
        counted(counters, 1)
        await reporter.report()
    first, second, third, fourth = hub.told
    assert first == second == third
    assert (first.counters, fourth.counters) == ({"gitops_sync": 1}, {"gitops_sync": 3})
    assert fourth.report_id != first.report_id


async def test_a_refused_report_is_dropped():
    hub, counters = Hub(HubContractError("400")), UsageCounters()
    reporter = UsageReporter(counters, hub, 60)
    counted(counters, 1)
    await reporter.report()
    await reporter.report()
    assert len(hub.told) == 1


async def test_the_end_reports_what_is_left_after_what_was_not_answered():
    hub, counters = Hub(HubUnavailableError("away")), UsageCounters()
    reporter = UsageReporter(counters, hub, 60)
    counted(counters, 1)
    await reporter.report()
    counted(counters, 2)
    await run_for(reporter, 0)
    assert [metrics.counters for metrics in hub.told] == [{"gitops_sync": 1}] * 2 + [{"gitops_sync": 2}]


async def test_a_git_side_that_is_away_at_the_end_is_asked_once():
    hub, counters = Hub(HubUnavailableError("away"), HubUnavailableError("away")), UsageCounters()
    reporter = UsageReporter(counters, hub, 60)
    counted(counters, 1)
    await run_for(reporter, 0)
    assert len(hub.told) == 1


async def test_it_reports_now_and_then():
    hub, counters = Hub(), UsageCounters()
    counted(counters, 1)
    await run_for(UsageReporter(counters, hub, 0.01), 0.05)
    assert len(hub.told) == 1


async def test_without_a_period_nothing_is_said():
    hub, counters = Hub(), UsageCounters()
    counted(counters, 1)
    await run_for(UsageReporter(counters, hub, 0), 0)
    assert not hub.told
