"""The event loop of our programs: uvloop where it is installed, plain asyncio otherwise; both must work."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

from kasbah.kit import heap, open_files

T = TypeVar("T")

_GC_THRESHOLDS: Final = (20_000, 20, 50)
"""Allocations before a collection: our hot paths make no cycles, so looking for them less often costs no memory."""


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
    heap.keep_freed_memory()
    # What a program has loaded by now lives as long as it does: the collector need not look at it ten times a second.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)
