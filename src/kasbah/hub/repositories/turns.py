"""Whose turn it is: how many clones and pushes run at once, in all and for each caller.

Each costs a git process and a slow client keeps it for long, so one caller gets a share and not the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import Gauge

from kasbah.errors import PeerError

RUNNING: Final = Gauge("kasbah_hub_git_exchanges", "Clones, fetches and pushes that run now")
WAITING: Final = Gauge(
    "kasbah_hub_git_exchanges_waiting", "Clones, fetches and pushes that wait for their turn"
)


class BusyError(PeerError):
    """Too many clones and pushes are running; try again in a moment."""


@dataclass(slots=True)
class _Share:
    free: asyncio.Semaphore
    users: int = 0


class Turns:
    def __init__(self, *, total: int, per_caller: int, wait_s: float) -> None:
        self._total = asyncio.Semaphore(total)
        self._per_caller = per_caller
        self._wait_s = wait_s
        self._shares: dict[str, _Share] = {}

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Raises:
            BusyError: none came within `wait_s`.
        """
        share = self._shares.setdefault(caller, _Share(asyncio.Semaphore(self._per_caller)))
        share.users += 1
        try:
            async with AsyncExitStack() as held:
                await self._wait(held, share)
                with RUNNING.track_inprogress():
                    yield
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[caller]

    async def _wait(self, held: AsyncExitStack, share: _Share) -> None:
        # A caller's own share first: whoever waits for that takes nothing from others.
        try:
            with WAITING.track_inprogress():
                async with asyncio.timeout(self._wait_s):
                    await held.enter_async_context(share.free)
                    await held.enter_async_context(self._total)
        except TimeoutError as error:
            raise BusyError from error
