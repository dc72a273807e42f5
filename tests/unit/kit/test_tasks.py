"""What is tried again, and what is not."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.errors import Bug, PeerError
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.tasks import alongside, keep_trying

AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)


class Attempts:
    """Fails as told, attempt by attempt, then waits for ever."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.exhausted = asyncio.Event()

    async def __call__(self) -> None:
        if not self.outcomes:
            self.exhausted.set()
            await asyncio.Event().wait()
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome


async def run_until_exhausted(attempts: Attempts) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keep_trying("work", attempts, AT_ONCE))
        await attempts.exhausted.wait()
        task.cancel()


@pytest.mark.asyncio
async def test_a_peer_that_is_away_is_tried_again():
    attempts = Attempts(PeerError("away"), OSError("refused"), TimeoutError(), None)
    await run_until_exhausted(attempts)
    assert attempts.outcomes == []


@pytest.mark.asyncio
async def test_a_bug_is_not_tried_again():
    with pytest.raises(Bug):
        await keep_trying("work", Attempts(Bug("ours")), AT_ONCE)


@pytest.mark.asyncio
async def test_parts_run_beside_the_body_and_end_with_it():
    seen: list[str] = []

    async def part() -> None:
        try:
            seen.append("began")
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    async with alongside(part(), part()):
        await asyncio.sleep(0)
        seen.append("body")
    assert seen == ["began", "began", "body", "ended", "ended"]


@pytest.mark.asyncio
async def test_a_part_that_fails_ends_the_body():
    async def part() -> None:
        raise Bug("ours")

    with pytest.raises(ExceptionGroup):
        async with alongside(part()):
            await asyncio.Event().wait()
