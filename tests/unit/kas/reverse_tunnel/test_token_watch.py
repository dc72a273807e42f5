"""Which tokens are asked about and when, and what an answer leads to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from kasbah.kas.hub_client.errors import HubUnauthenticatedError, HubUnavailableError
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.refusal import UNAUTHENTICATED, Refusal
from kasbah.kas.reverse_tunnel.token_watch import AT_ONCE, TokenWatch
from kasbah.kit.secrets import Secret

AGENT = AgentInfo(agent_id=7, project_id=1, agent_name="a", project_path="g/p", default_branch="main")


class Hub:
    """Knows every token, but for those it has an error for, and never answers about the silent ones."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.errors: dict[str, Exception] = {}
        self.silent_about: set[str] = set()

    async def agent_info(self, token: Secret, *, fresh: bool = False) -> AgentInfo:
        assert fresh
        name = token.reveal()
        self.asked[name] += 1
        if name in self.silent_about:
            await asyncio.Event().wait()
        if name in self.errors:
            raise self.errors[name]
        return AGENT


class Scene:
    def __init__(self, *tokens: str) -> None:
        self.hub, self.tokens = Hub(), {Secret(token) for token in tokens}
        self.revoked: list[tuple[str, Refusal]] = []
        self.watch = TokenWatch(
            self.hub,  # type: ignore[arg-type]  # the one method that is used
            0,
            tokens=lambda: self.tokens,
            revoked=lambda token, refusal: self.revoked.append((token.reveal(), refusal)),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Scene]:
        task = asyncio.create_task(self.watch.run())  # noqa: TID251 - cancelled below
        try:
            yield self
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def rounds(times: int = 5) -> None:
    for _ in range(4 * times):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_token_that_the_git_side_refuses_is_told_of():
    async with Scene("good", "bad").running() as it:
        await rounds()
        assert it.revoked == []
        it.hub.errors["bad"] = HubUnauthenticatedError("401")
        await rounds(1)
        assert it.revoked[0] == ("bad", UNAUTHENTICATED)


@pytest.mark.asyncio
async def test_a_question_without_an_answer_delays_no_other_of_any_round():
    async with Scene("silent", "other").running() as it:
        it.hub.silent_about = {"silent"}
        await rounds()
        assert it.hub.asked["silent"] == 1
        assert it.hub.asked["other"] > 1
        it.hub.errors["other"] = HubUnauthenticatedError("401")
        await rounds(1)
        assert it.revoked[0] == ("other", UNAUTHENTICATED)


@pytest.mark.asyncio
async def test_only_so_many_questions_are_asked_at_once():
    async with Scene(*(f"token-{number}" for number in range(AT_ONCE + 5))).running() as it:
        it.hub.silent_about = {token.reveal() for token in it.tokens}
        await rounds()
        assert it.hub.asked.total() == AT_ONCE


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [HubUnavailableError("away"), RuntimeError("a bug")], ids=["away", "bug"])
async def test_who_cannot_be_asked_about_is_asked_about_again(error: Exception):
    async with Scene("token").running() as it:
        it.hub.errors["token"] = error
        with capture_logs() as logs:
            await rounds()
        assert it.revoked == []
        assert it.hub.asked["token"] > 1
        assert logs


@pytest.mark.asyncio
async def test_a_token_that_nobody_uses_is_not_asked_about():
    async with Scene("token").running() as it:
        await rounds(1)
        it.tokens = set()
        before = it.hub.asked["token"]
        await rounds()
        assert it.hub.asked["token"] <= before + 1
