"""What is published of agents that come and go, by a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from kasbah.kas.private_api.publisher import WITHDRAW_AFTER_S, RoutePublisher
from kasbah.kas.private_api.routes import REFRESH_S, InMemoryAgentRoutes, RoutesUnavailableError

URL = "grpc://a:1"


class Book(InMemoryAgentRoutes):
    """Counts what it is told; away when it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.published: list[list[int]] = []

    async def publish(self, url: str, agent_ids: Iterable[int]) -> None:
        if self.away:
            raise RoutesUnavailableError
        self.published.append(list(agent_ids))
        await super().publish(url, self.published[-1])


class Kas:
    def __init__(self) -> None:
        self.now = 100.0
        self.routes = Book()
        self.publisher = RoutePublisher(self.routes, URL, lambda: self.now)

    async def urls(self) -> list[str]:
        return list(await self.routes.urls(7))


@pytest.mark.asyncio
async def test_an_agent_is_published_and_again_before_its_entry_leaves():
    kas = Kas()
    kas.publisher.agent_came(7)
    assert await kas.publisher.step() == REFRESH_S
    kas.now += REFRESH_S - 1
    assert await kas.publisher.step() == 1
    kas.now += 1
    await kas.publisher.step()
    assert kas.routes.published == [[7], [7]]


@pytest.mark.asyncio
async def test_an_agent_that_comes_back_soon_was_never_withdrawn():
    kas = Kas()
    kas.publisher.agent_came(7)
    await kas.publisher.step()
    kas.publisher.agent_went(7)
    kas.now += WITHDRAW_AFTER_S - 1
    await kas.publisher.step()
    kas.publisher.agent_came(7)
    kas.now += WITHDRAW_AFTER_S
    await kas.publisher.step()
    assert await kas.urls() == [URL]
    assert kas.routes.published == [[7]]


@pytest.mark.asyncio
async def test_an_agent_that_stays_away_is_withdrawn():
    kas = Kas()
    kas.publisher.agent_came(7)
    await kas.publisher.step()
    kas.publisher.agent_went(7)
    assert await kas.publisher.step() == WITHDRAW_AFTER_S
    kas.now += WITHDRAW_AFTER_S
    await kas.publisher.step()
    assert await kas.urls() == []
    kas.publisher.agent_came(7)
    await kas.publisher.step()
    assert await kas.urls() == [URL]


@pytest.mark.asyncio
async def test_what_the_store_did_not_hear_is_said_again():
    kas = Kas()
    kas.routes.away = True
    kas.publisher.agent_came(7)
    assert await kas.publisher.step() == 2
    kas.routes.away = False
    await kas.publisher.step()
    assert await kas.urls() == [URL]


@pytest.mark.asyncio
async def test_a_store_that_forgot_everything_is_told_everything():
    kas = Kas()
    for agent_id in range(1200):
        kas.publisher.agent_came(agent_id)
    await kas.publisher.step()
    kas.publisher.say_again()
    await kas.publisher.step()
    assert [len(some) for some in kas.routes.published] == [500, 500, 200] * 2


@pytest.mark.asyncio
async def test_the_end_withdraws_everything_at_once():
    routes = InMemoryAgentRoutes()
    publisher = RoutePublisher(routes, URL)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(publisher.run())
        publisher.agent_came(7)
        while not await routes.urls(7):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0)
        running.cancel()
    assert await routes.urls(7) == []
