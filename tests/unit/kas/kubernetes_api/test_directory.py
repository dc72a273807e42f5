from __future__ import annotations

import pytest

from kasbah.kas.hub_client.errors import HubForbiddenError, HubNotFoundError, HubUnavailableError
from kasbah.kas.kubernetes_api.directory import AccessDeniedError, HubDirectory
from kasbah.wire.credential import Credential
from tests.doubles.people import People, access_of_mia

GOOD = Credential(kind="pat", agent_id=7, token="good", key=b"good")


@pytest.mark.asyncio
async def test_a_person_is_found_by_their_token():
    assert await HubDirectory(People()).look_up(GOOD) == access_of_mia()


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [HubForbiddenError("403"), HubNotFoundError("404")])
async def test_a_stranger_learns_nothing(error):
    with pytest.raises(AccessDeniedError) as caught:
        await HubDirectory(People(failure=error)).look_up(GOOD)
    assert (caught.value.status, str(caught.value)) == (401, "Unauthorized")


@pytest.mark.asyncio
async def test_a_git_side_that_is_away_decides_nothing():
    with pytest.raises(HubUnavailableError):
        await HubDirectory(People(failure=HubUnavailableError("away"))).look_up(GOOD)
