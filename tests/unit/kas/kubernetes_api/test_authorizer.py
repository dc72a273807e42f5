from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.hub_client.errors import (
    HubContractError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnavailableError,
)
from kasbah.kas.kubernetes_api.authorizer import (
    AccessDeniedError,
    Authorizer,
    TooManyQuestionsError,
    UndecidedError,
)
from kasbah.kas.kubernetes_api.directory import HubDirectory
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire.credential import Credential
from tests.doubles.people import MIA_AS_USER, People, mia

GOOD = Credential(kind="pat", agent_id=7, token="good", key=b"good")
WRONG = Credential(kind="pat", agent_id=7, token="wrong", key=b"wrong")


@dataclass
class Scene:
    people: People
    clock: CoarseClock
    authorizer: Authorizer

    def pass_time(self, seconds: float) -> None:
        self.clock.tick(self.clock.now + seconds, 0)


@contextlib.asynccontextmanager
async def scene(**limits: float) -> AsyncIterator[Scene]:
    people, clock = People(), CoarseClock(100, 0)
    authorizer = Authorizer(HubDirectory(people), KubernetesApiSettings(**limits), clock)
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Event()
        running = group.create_task(authorizer.run(ready.set))
        await ready.wait()
        yield Scene(people, clock, authorizer)
        running.cancel()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_grant_is_found_again_without_asking_until_its_time_is_over():
    async with scene(grant_ttl_s=5) as it:
        assert it.authorizer.find(GOOD) is None
        granted = await it.authorizer.authorize(GOOD)
        assert (granted.agent_id, granted.principal, granted.access.username) == (7, "user:4", "mia")
        assert it.authorizer.find(GOOD) is granted
        assert await it.authorizer.authorize(GOOD) is granted
        it.pass_time(5)
        assert it.authorizer.find(GOOD) is None
        assert it.people.questions == 1


@pytest.mark.asyncio
async def test_a_grant_in_use_is_renewed_before_its_end_and_stays_the_same():
    async with scene(grant_ttl_s=4) as it:
        granted = await it.authorizer.authorize(GOOD)
        it.pass_time(2.5)
        assert it.authorizer.find(GOOD) is granted
        await settle()
        it.pass_time(2.5)
        assert it.authorizer.find(GOOD) is granted
        assert it.people.questions == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (
            HubUnavailableError("", status=503),
            "Failed to get allowed agents for CI job token: HTTP status code: 503",
        ),
        (TimeoutError(), "Failed to get allowed agents for CI job token"),
        (ZeroDivisionError(), "Failed to get allowed agents for CI job token"),
    ],
)
async def test_who_shows_a_job_token_hears_of_job_tokens(failure, text):
    async with scene() as it:
        it.people.failure = failure
        with pytest.raises(UndecidedError) as caught:
            await it.authorizer.authorize(Credential(kind="ci", agent_id=7, token="running", key=b"ci"))
        assert caught.value.text.partition(" for path")[0] == text


@pytest.mark.asyncio
async def test_a_renewal_that_says_no_takes_effect_at_once():
    async with scene() as it:
        await it.authorizer.authorize(GOOD)
        it.people.tokens.clear()
        it.pass_time(3)
        it.authorizer.find(GOOD)
        await settle()
        assert isinstance(it.authorizer.find(GOOD), AccessDeniedError)


@pytest.mark.asyncio
async def test_a_renewal_that_cannot_be_decided_changes_nothing_before_the_end():
    async with scene(grant_ttl_s=5) as it:
        granted = await it.authorizer.authorize(GOOD)
        it.people.failure = HubUnavailableError("away")
        it.pass_time(3)
        it.authorizer.find(GOOD)
        await settle()
        assert it.authorizer.find(GOOD) is granted
        it.pass_time(2)
        with pytest.raises(UndecidedError):
            await it.authorizer.authorize(GOOD)


@pytest.mark.asyncio
async def test_a_remembered_no_keeps_nothing_of_those_who_heard_it():
    async with scene() as it:
        for _ in range(2):
            with pytest.raises(AccessDeniedError):
                await it.authorizer.authorize(WRONG)
        remembered = it.authorizer.find(WRONG)
        assert isinstance(remembered, AccessDeniedError)
        assert remembered.__traceback__ is None


@pytest.mark.asyncio
async def test_another_identity_is_another_grant():
    async with scene(grant_ttl_s=1) as it:
        first = await it.authorizer.authorize(GOOD)
        it.people.tokens["good"] = mia(MIA_AS_USER)
        it.pass_time(1)
        second = await it.authorizer.authorize(GOOD)
        assert first.grant_id != second.grant_id


@pytest.mark.asyncio
async def test_a_refusal_is_remembered_shortly():
    async with scene(denial_ttl_s=2) as it:
        for _ in range(2):
            with pytest.raises(AccessDeniedError):
                await it.authorizer.authorize(WRONG)
        assert it.people.questions == 1
        it.pass_time(2)
        with pytest.raises(AccessDeniedError):
            await it.authorizer.authorize(WRONG)
        assert it.people.questions == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("failure", [HubForbiddenError("no"), HubNotFoundError("no such agent")])
async def test_forbidden_and_unknown_are_the_same_refusal(failure):
    async with scene() as it:
        it.people.failure = failure
        with pytest.raises(AccessDeniedError):
            await it.authorizer.authorize(GOOD)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "failure", [HubUnavailableError("away"), HubContractError("what?"), RuntimeError("a bug")]
)
async def test_what_is_not_a_clear_answer_allows_nothing_and_is_not_remembered(failure):
    async with scene() as it:
        it.people.failure = failure
        with pytest.raises(UndecidedError):
            await it.authorizer.authorize(GOOD)
        it.people.failure = None
        assert isinstance(await it.authorizer.authorize(GOOD), Grant)


@pytest.mark.asyncio
async def test_an_answer_for_another_agent_allows_nothing():
    class Confused(People):
        async def authorize_proxy_user(self, agent_id, token):
            return mia()

    async with scene() as it:
        it.authorizer._directory = Confused()
        with pytest.raises(UndecidedError):
            await it.authorizer.authorize(Credential(kind="pat", agent_id=8, token="good", key=b"8"))


@pytest.mark.asyncio
async def test_many_requests_ask_once():
    async with scene() as it:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(it.authorizer.authorize(GOOD)) for _ in range(10)]
        assert len({task.result().grant_id for task in tasks}) == 1
        assert it.people.questions == 1


@pytest.mark.asyncio
async def test_questions_under_way_have_a_limit():
    async with scene(max_pending=0) as it:
        with pytest.raises(TooManyQuestionsError):
            await it.authorizer.authorize(GOOD)


@pytest.mark.asyncio
async def test_what_is_remembered_has_a_limit():
    async with scene(max_grants=1) as it:
        await it.authorizer.authorize(GOOD)
        with pytest.raises(AccessDeniedError):
            await it.authorizer.authorize(WRONG)
        assert it.authorizer.find(GOOD) is None


@pytest.mark.asyncio
async def test_authorize_again_asks_only_when_the_last_answer_is_old():
    async with scene() as it:
        await it.authorizer.authorize(GOOD)
        it.pass_time(1)
        assert (await it.authorizer.authorize_again(GOOD, max_age_s=2))[1] == 100
        it.pass_time(2)
        assert (await it.authorizer.authorize_again(GOOD, max_age_s=2))[1] == 103
        assert it.people.questions == 2


@pytest.mark.asyncio
async def test_an_authorizer_that_does_not_run_decides_nothing():
    authorizer = Authorizer(People(), KubernetesApiSettings(), CoarseClock(0, 0))
    with pytest.raises(TooManyQuestionsError):
        await authorizer.authorize(GOOD)
