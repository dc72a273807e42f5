"""Supervision: the only room that restarts anything.

Everything long-lived has `async def run()`, runs until cancelled, and is started inside somebody's TaskGroup.
`keep_trying` is the loop around work that may fail because a peer is away: it waits, says so once per failure, and
goes on. Errors that are not a peer's end the loop: a bug or a wrong setting does not heal by waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import structlog

from kasbah.errors import PeerError
from kasbah.kit.backoff import Backoff, BackoffSettings
from kasbah.kit.jitter import chance

_log = structlog.get_logger()


async def keep_trying(
    name: str, attempt: Callable[[], Awaitable[None]], backoff_settings: BackoffSettings
) -> None:
    """Run `attempt` again and again until cancelled.

    A clean return runs it again at once; a `PeerError`, whether it calls itself retryable or not, an `OSError` and a
    `TimeoutError` wait by the back-off first. Our own bugs and people's errors propagate.
    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(backoff_settings)
    while True:
        try:
            await attempt()
        except (PeerError, OSError, TimeoutError) as error:
            delay_s = backoff.failed(loop.time(), chance())
            _log.warning("attempt failed", component=name, error=str(error), retry_in_s=round(delay_s, 2))
            await asyncio.sleep(delay_s)
        else:
            await asyncio.sleep(0)


@asynccontextmanager
async def alongside(*parts: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run parts beside the body; the body's end cancels them, and a part's failure ends the body."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(part) for part in parts]
        try:
            yield
        finally:
            for task in started:
                task.cancel()
