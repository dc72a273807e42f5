"""The event loop of our programs: uvloop where it is installed, plain asyncio otherwise; both must work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from kasbah.kit import open_files

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop; uvloop is imported only when a program starts."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def run(main: Coroutine[object, object, T]) -> T:
    """As `asyncio.run`, on the best loop there is, with as many open files as we may have."""
    open_files.raise_limit()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)
