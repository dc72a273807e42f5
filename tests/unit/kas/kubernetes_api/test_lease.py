from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.hub_client.errors import HubUnavailableError
from kasbah.kas.kubernetes_api.authorizer import Authorizer
from kasbah.kas.kubernetes_api.directory import HubDirectory
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.lease import LeaseKeeper
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire.credential import Credential
from tests.doubles.people import MIA_AS_USER, People, mia

GOOD = Credential(kind="pat", agent_id=7, token="good", key=b"good")
SETTINGS = KubernetesApiSettings(grant_ttl_s=5, recheck_s=4, lease_s=9)


@dataclass(eq=False)
class Stream:
    cut: bool = False
    crashes: bool = False

    def lease_ended(self) -> None:
        self.cut = True
        if self.crashes:
            raise AssertionError("a bug")


@dataclass
class Scene:
    group: asyncio.TaskGroup
    people: People
    clock: CoarseClock
    leases: LeaseKeeper
    granted: Grant
    stream: Stream = field(default_factory=Stream)

    async def pass_time(self, seconds: float) -> None:
        """In steps, as the keeper's own timer does."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.tick(min(end, self.clock.now + 0.5), 0)
            self.leases.sweep(self.group)
            for _ in range(5):
                await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    people, clock = People(), CoarseClock(100, 0)
    authorizer = Authorizer(HubDirectory(people), SETTINGS, clock)
    leases = LeaseKeeper(authorizer, SETTINGS, clock)
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Event()
        running = group.create_task(authorizer.run(ready.set))
        await ready.wait()
        granted = await authorizer.authorize(GOOD)
        it = Scene(group, people, clock, leases, granted)
        leases.hold(GOOD, granted, it.stream)
        yield it
        running.cancel()


@pytest.mark.asyncio
async def test_a_stream_that_stays_allowed_runs_on_and_is_asked_for_every_few_seconds():
    async with scene() as it:
        await it.pass_time(60)
        assert not it.stream.cut
        assert 60 / 5 <= it.people.questions <= 60 / 3


@pytest.mark.asyncio
async def test_a_revoked_credential_cuts_its_streams_within_the_recheck():
    async with scene() as it:
        await it.pass_time(6)
        it.people.tokens.clear()
        await it.pass_time(4.5)
        assert it.stream.cut


@pytest.mark.asyncio
async def test_a_stream_that_crashes_when_it_is_cut_saves_no_other():
    async with scene() as it:
        streams = [it.stream, *(Stream(crashes=True) for _ in range(5)), Stream()]
        for stream in streams[1:]:
            it.leases.hold(GOOD, it.granted, stream)
        it.people.tokens.clear()
        await it.pass_time(6)
        assert all(stream.cut for stream in streams)


@pytest.mark.asyncio
async def test_a_check_that_crashes_renews_nothing_and_ends_nobody_else(monkeypatch: pytest.MonkeyPatch):
    async def crash(*_: object, **__: object) -> None:
        raise AssertionError("a bug")

    async with scene() as it:
        monkeypatch.setattr(it.leases._authorizer, "authorize_again", crash)
        await it.pass_time(3)
        assert not it.stream.cut
        await it.pass_time(7)
        assert it.stream.cut


@pytest.mark.asyncio
async def test_another_identity_cuts_the_streams_of_the_old_one():
    async with scene() as it:
        it.people.tokens["good"] = mia(MIA_AS_USER)
        await it.pass_time(4.5)
        assert it.stream.cut


@pytest.mark.asyncio
async def test_a_silent_git_side_cuts_when_the_lease_is_over_and_not_before():
    async with scene() as it:
        await it.pass_time(4)
        it.people.failure = HubUnavailableError("away")
        await it.pass_time(4)
        assert not it.stream.cut
        await it.pass_time(5.5)
        assert it.stream.cut


@pytest.mark.asyncio
async def test_a_git_side_that_comes_back_in_time_cuts_nothing():
    async with scene() as it:
        it.people.failure = HubUnavailableError("away")
        await it.pass_time(3)
        it.people.failure = None
        await it.pass_time(20)
        assert not it.stream.cut


@pytest.mark.asyncio
async def test_without_streams_nobody_asks():
    async with scene() as it:
        it.leases.release(it.granted, it.stream)
        it.leases.release(it.granted, it.stream)
        await it.pass_time(30)
        assert it.people.questions == 1


@pytest.mark.asyncio
async def test_streams_of_one_grant_share_a_lease():
    async with scene() as it:
        other = Stream()
        it.leases.hold(GOOD, it.granted, other)
        it.leases.release(it.granted, other)
        it.people.tokens.clear()
        await it.pass_time(5)
        assert (it.stream.cut, other.cut) == (True, False)


@pytest.mark.asyncio
async def test_a_late_answer_about_streams_that_have_ended_does_not_free_their_successors():
    async with scene() as it:
        await it.pass_time(3)
        it.people.answering.clear()
        await it.pass_time(1.5)
        it.leases.release(it.granted, it.stream)
        successor = Stream()
        it.leases.hold(GOOD, it.granted, successor)
        it.people.tokens.clear()
        it.people.answering.set()
        for _ in range(5):
            await asyncio.sleep(0)
        await it.pass_time(4.5)
        assert successor.cut


@pytest.mark.asyncio
async def test_the_keeper_runs_until_cancelled():
    async with scene() as it, asyncio.TaskGroup() as group:
        running = group.create_task(it.leases.run())
        await asyncio.sleep(0)
        running.cancel()
