"""Every test here runs on both loops: uvloop is what we ship, plain asyncio must work too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The hook of pytest-asyncio that says which loops there are."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
