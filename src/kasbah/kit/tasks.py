"""Supervision: the only room that restarts anything.

Everything long-lived has `async def run()`, runs until cancelled, and is started inside somebody's TaskGroup.
`keep_trying` is the loop around work that may fail because a peer is away: it waits, says so once per failure, and
goes on. Errors that are not a peer's end the loop: a bug or a wrong setting does not heal by waiting.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from kasbah.errors import PeerError
from kasbah.kit.backoff import Backoff, BackoffSettings

_log = structlog.get_logger()


async def keep_trying(
    name: str, attempt: Callable[[], Awaitable[None]], backoff_settings: BackoffSettings
) -> None:
    """Run `attempt` again and again until cancelled.

    A clean return runs it again at once; a `PeerError` or `OSError` waits by the back-off first. Anything else, and
    a `PeerError` that is not retryable by waiting, still waits: only our own bugs and user errors propagate.
    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(backoff_settings)
    while True:
        try:
            await attempt()
        except (PeerError, OSError, TimeoutError) as error:
            delay_s = backoff.failed(loop.time(), random.random())  # noqa: S311 - jitter, not a secret
            _log.warning("attempt failed", component=name, error=str(error), retry_in_s=round(delay_s, 2))
            await asyncio.sleep(delay_s)
        else:
            await asyncio.sleep(0)
