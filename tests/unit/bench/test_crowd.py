from __future__ import annotations

import asyncio
import time

import pytest

from bench.crowd import Watch
from bench.errors import BenchError


def test_an_event_is_as_late_as_its_own_time_says():
    delays: list[float] = []

    async def hear() -> None:
        watch = Watch(b"", delays)
        watch.data_received(b"HTTP/1.1 200 OK\r\n\r\n{ADDED}")
        await watch.begun
        assert delays == []
        sent = time.monotonic_ns() - 2_000_000_000
        watch.data_received(b'{"sent":"%d"}\n{"sent":"%d"}\n' % (sent, sent))

    asyncio.run(hear())
    assert delays == [pytest.approx(2, abs=1)] * 2


def test_a_refused_watch_is_no_watch():
    async def begin() -> None:
        watch = Watch(b"", [])
        watch.data_received(b"HTTP/1.1 429 Too Many Requests\r\n\r\n")
        await watch.begun

    with pytest.raises(BenchError, match="429"):
        asyncio.run(begin())
