"""Reports usage to the Git side now and then, and once more at the end.

A report is a difference with an id. When it is not known whether it arrived, the same report goes again with the same
id and nothing added, so the Git side can tell; what is counted meanwhile waits for the next one. A report the Git side
refuses is dropped: it would be refused again.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, Protocol

import structlog

from kasbah.kas.hub_client.errors import HubError, HubUnavailableError
from kasbah.kas.hub_client.records import UsageMetrics
from kasbah.kas.usage_metrics.counters import UsageCounters

_log = structlog.get_logger()
LAST_WORDS_S: Final = 5.0
"""How long the last report may take; what it does not get told is lost."""


class UsageTaker(Protocol):
    """The Git side; `HubClient` is one."""

    async def usage_metrics(self, metrics: UsageMetrics) -> None: ...


class UsageReporter:
    """The loop; `run` it while somebody counts."""

    def __init__(self, counters: UsageCounters, hub: UsageTaker, period_s: float) -> None:
        """`period_s` is how long between two reports; 0: none at all."""
        self._counters = counters
        self._hub = hub
        self._period_s = period_s
        self._unanswered: UsageMetrics | None = None

    async def run(self) -> None:
        """Report until cancelled, and then what is left."""
        if not self._period_s:
            await asyncio.Event().wait()
        try:
            while True:
                await asyncio.sleep(self._period_s)
                await self.report()
        finally:
            await self._last_words()

    async def report(self) -> None:
        """Send the report nobody answered, or else what was counted since; never fails."""
        metrics = self._unanswered or self._next()
        if metrics is None:
            return
        self._unanswered = metrics
        try:
            await self._hub.usage_metrics(metrics)
        except HubUnavailableError as error:
            _log.info("usage not reported yet", report_id=metrics.report_id, error=str(error))
            return
        except HubError as error:
            _log.warning("usage report refused", report_id=metrics.report_id, error=str(error))
        self._unanswered = None

    def _next(self) -> UsageMetrics | None:
        usage = self._counters.take()
        if usage is None:
            return None
        return UsageMetrics(
            report_id=secrets.token_hex(16), counters=usage.counters, unique_counters=usage.unique_counters
        )

    async def _last_words(self) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                if self._unanswered is not None:
                    await self.report()
                if self._unanswered is None:
                    await self.report()
        except TimeoutError:
            _log.warning("the last usage was not reported in time")
