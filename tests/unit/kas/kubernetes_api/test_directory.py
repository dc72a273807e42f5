from __future__ import annotations

from dataclasses import replace

import pytest

from kasbah.kas.hub_client.errors import (
    AgentNotAllowedError,
    HubContractError,
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
    HubUnavailableError,
)
from kasbah.kas.hub_client.records import AS_JOB, AccessAsConfigured, AccessAsUser, RolesAt
from kasbah.kas.kubernetes_api.directory import AccessDeniedError, HubDirectory, UndecidedError
from kasbah.wire.credential import Credential
from kasbah.wire.identity import AsUser
from tests.doubles.people import MIA_AS_USER, People, access_of_mia, job_of_mia, mia

TOKEN = Credential(kind="pat", agent_id=7, token="good", key=b"good")
SESSION = Credential(kind="session", agent_id=7, token="cookie", csrf_token="csrf", key=b"session")
JOB = Credential(kind="ci", agent_id=7, token="running", key=b"running")


def told(error: HubError, *, status: int = 0, reason: str = "") -> HubError:
    """An error as the client of the Git side raises it."""
    error.status, error.reason = status, reason
    return error


async def refusal(error: Exception, credential: Credential) -> tuple[int, str]:
    with pytest.raises(AccessDeniedError) as caught:
        await HubDirectory(People(failure=error)).look_up(credential)
    return caught.value.status, str(caught.value)


@pytest.mark.asyncio
async def test_a_person_is_found_by_their_token():
    assert await HubDirectory(People()).look_up(TOKEN) == access_of_mia()


@pytest.mark.asyncio
async def test_a_session_is_the_same_person_by_another_way():
    access = await HubDirectory(People()).look_up(SESSION)
    assert access == replace(access_of_mia(), access_type="session_cookie")
    as_user = People(sessions={("cookie", "csrf"): mia(MIA_AS_USER)})
    identity = (await HubDirectory(as_user).look_up(SESSION)).identity
    assert isinstance(identity, AsUser)
    assert ("agent.gitlab.com/access_type", ("session_cookie",)) in identity.extra


@pytest.mark.asyncio
async def test_a_job_is_found_by_its_token_and_acts_for_its_person():
    access = await HubDirectory(People(jobs={"running": job_of_mia(AS_JOB)})).look_up(JOB)
    assert (access.access_type, access.job_id, access.user_id) == ("ci_job", 9001, 4)
    assert access.principal == "ci_user:4"
    assert isinstance(access.identity, AsUser)
    assert access.identity.username == "gitlab:ci_job:9001"


@pytest.mark.asyncio
@pytest.mark.parametrize("credential", [TOKEN, SESSION])
@pytest.mark.parametrize("error", [HubUnauthenticatedError, HubForbiddenError, HubNotFoundError])
async def test_a_stranger_learns_nothing(error, credential):
    assert await refusal(error("403 Forbidden: secret"), credential) == (401, "Unauthorized")


@pytest.mark.asyncio
@pytest.mark.parametrize("credential", [TOKEN, SESSION])
async def test_who_may_know_hears_the_reason(credential):
    error = told(HubForbiddenError("403"), status=403, reason="you are a Reporter in ops/fleet")
    assert await refusal(error, credential) == (401, "Unauthorized: you are a Reporter in ops/fleet")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (HubUnauthenticatedError(), 401, "Unauthorized: CI job token: HTTP status code: 401 for path "),
        (HubForbiddenError(), 403, "Forbidden: CI job token: HTTP status code: 403 for path "),
        (HubNotFoundError(), 404, "Not found: agents for CI job token: HTTP status code: 404 for path "),
    ],
)
async def test_a_job_is_refused_as_the_git_side_says(error, status, text):
    said = (status, text + "/api/v4/job/allowed_agents")
    assert await refusal(told(error, status=status), JOB) == said
    assert await refusal(type(error)("this is not the form of a token"), JOB) == said
    told(error, status=status, reason="job 9001 has finished")
    assert (await refusal(error, JOB))[1].endswith(": job 9001 has finished")


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", ["", "the job's environment staging matches none of production"])
async def test_a_job_whose_agent_was_filtered_out_hears_why(reason):
    error = told(AgentNotAllowedError("no"), reason=reason)
    text = "Forbidden: agentId is not allowed"
    assert await refusal(error, JOB) == (403, f"{text}: {reason}" if reason else text)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            HubUnavailableError("x", status=503),
            "HTTP status code: 503 for path /api/v4/job/allowed_agents",
        ),
        (HubUnavailableError("connect to 10.0.0.3 failed"), "the Git side does not answer"),
        (HubContractError("the answer cannot be used"), "the answer cannot be used"),
    ],
)
async def test_a_job_nobody_could_decide_on_is_told_so(error, cause):
    with pytest.raises(UndecidedError) as caught:
        await HubDirectory(People(failure=error)).look_up(JOB)
    assert caught.value.text == f"Failed to get allowed agents for CI job token: {cause}"


@pytest.mark.asyncio
async def test_a_git_side_that_is_away_decides_nothing():
    with pytest.raises(HubUnavailableError):
        await HubDirectory(People(failure=HubUnavailableError("away"))).look_up(TOKEN)


@pytest.mark.asyncio
@pytest.mark.parametrize("credential", [TOKEN, SESSION, JOB])
async def test_a_name_that_no_header_can_hold_is_nobodys(credential):
    odd = AccessAsUser(projects=(RolesAt(id=1, roles=("a\nb",)),))
    people = People(
        tokens={"good": mia(odd)},
        sessions={("cookie", "csrf"): mia(odd)},
        jobs={"running": job_of_mia(AccessAsConfigured(username="\u00fc"))},
    )
    with pytest.raises(UndecidedError) as caught:
        await HubDirectory(people).look_up(credential)
    assert caught.value.text == "Failed to construct impersonation config"
