"""One exchange: signed, bounded, tried again when that is safe."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from kasbah.kas.hub_client.errors import HubContractError, HubUnavailableError
from kasbah.kas.hub_client.exchange import MAX_RETRIES, Exchange, Question
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.token_bucket import TokenBucket
from tests.doubles.fake_hub import SECRET, FakeHub

AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)
QUESTION = Question(method="GET", path="/api/v4/internal/kubernetes/usage_metrics")


def exchange_with(transport: FakeHub, base_url: str = "http://hub", rate: float = float("inf")) -> Exchange:
    return Exchange(transport.client(base_url), SECRET, lambda: 1000.0, AT_ONCE, TokenBucket(rate, 1))


@pytest.mark.asyncio
async def test_every_question_carries_the_jwt():
    hub = FakeHub()
    await exchange_with(hub).ask(QUESTION)
    token = jwt.decode(hub.requests[0].headers["gitlab-kas-api-request"], OctKey.import_key(SECRET))
    assert token.claims["iss"] == "gitlab-kas"


@pytest.mark.asyncio
async def test_the_path_of_the_git_sides_address_is_kept():
    hub = FakeHub()
    await exchange_with(hub, "http://hub/gitlab").ask(QUESTION)
    assert hub.requests[0].url.path == "/gitlab" + QUESTION.path


@pytest.mark.asyncio
async def test_tries_are_counted():
    hub = FakeHub()
    hub.answer_with("usage_metrics", *[httpx2.Response(502)] * 9)
    with pytest.raises(HubUnavailableError, match="502"):
        await exchange_with(hub).ask(Question(method="GET", path=QUESTION.path, retry=True))
    assert len(hub.requests) == MAX_RETRIES + 1


@pytest.mark.asyncio
async def test_every_try_waits_for_its_turn():
    hub, loop = FakeHub(), asyncio.get_running_loop()
    hub.answer_with("usage_metrics", *[httpx2.Response(502)] * 2)
    began = loop.time()
    await exchange_with(hub, rate=100).ask(Question(method="GET", path=QUESTION.path, retry=True))
    assert loop.time() - began >= 0.02
    assert len(hub.requests) == 3


@pytest.mark.asyncio
async def test_who_would_wait_longer_than_the_deadline_does_not_ask():
    hub = FakeHub()
    exchange = exchange_with(hub, rate=0.01)
    await exchange.ask(QUESTION)
    with pytest.raises(HubUnavailableError, match="too many calls"):
        await exchange.ask(QUESTION)
    assert len(hub.requests) == 1


@pytest.mark.asyncio
async def test_a_silent_peer_costs_no_more_than_the_deadline():
    class Silent(FakeHub):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.Event().wait()
            raise AssertionError

    with pytest.raises(HubUnavailableError, match="no answer"):
        await exchange_with(Silent()).ask(Question(method="GET", path=QUESTION.path, deadline_s=0))


@pytest.mark.asyncio
async def test_an_answer_over_the_limit_is_cut_off():
    hub = FakeHub()
    hub.answer_with("usage_metrics", httpx2.Response(200, content=b"x" * 101))
    with pytest.raises(HubContractError, match="more than 100 bytes"):
        await exchange_with(hub).ask(Question(method="GET", path=QUESTION.path, max_bytes=100))
