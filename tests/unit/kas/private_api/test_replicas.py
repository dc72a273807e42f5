"""When a replica is dialled; connections themselves are in tests/integration/kas/private_api."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.private_api import replicas
from kasbah.kas.private_api.dial import ReplicaUnreachableError
from kasbah.kas.private_api.jwt import ReplicaJwt
from kasbah.kas.private_api.replicas import Replicas
from kasbah.kas.private_api.settings import PrivateApiSettings
from tests.doubles.loopback_agent import until

URL = "grpc://127.0.0.1:1"


def made() -> Replicas:
    return Replicas(
        PrivateApiSettings(listens=(), own_url="grpc://a:1", secret=b"s" * 32),
        ReplicaJwt(b"s" * 32, lambda: 0),
    )


@pytest.mark.asyncio
async def test_one_that_failed_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch):
    dialled = []

    async def dial(url, *_args, **_kwargs):
        dialled.append(str(url))
        raise ReplicaUnreachableError("nobody")

    monkeypatch.setattr(replicas, "dial", dial)
    every = made()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(every.run())
        await asyncio.sleep(0)
        for _ in range(10):
            assert every.tunnel(URL) is None
            await asyncio.sleep(0)
        assert dialled == [URL]
        every._replicas[URL].left_alone_until = 0
        every.tunnel(URL)
        await asyncio.sleep(0)
        running.cancel()
    assert dialled == [URL, URL]


@pytest.mark.asyncio
async def test_what_is_no_url_is_left_alone_too():
    every = made()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(every.run())
        await asyncio.sleep(0)
        every.tunnel("http://elsewhere")
        await until(lambda: every._replicas["http://elsewhere"].left_alone_until > 0)
        running.cancel()


@pytest.mark.asyncio
async def test_the_book_is_bounded_and_nothing_is_dialled_before_it_runs():
    every = made()
    for number in range(1, 2000):
        assert every.tunnel(f"grpc://10.0.0.1:{number}") is None
    assert len(every._replicas) == 1000
    every.suspect("grpc://unknown:1")
