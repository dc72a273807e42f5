"""What a page gets, and what it never sees."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.hub.errors import ForbiddenError, UnauthenticatedError
from kasbah.hub.sessions.rest import SessionsRest
from kasbah.kit.secrets import Secret
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import make_call

pytestmark = pytest.mark.asyncio


async def test_the_cookie_is_set_and_the_csrf_token_told(hub: HubServices):
    mia = await hub.user("mia")
    call = make_call(authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)))
    rest = SessionsRest(hub.sessions, hub.clock)
    reply = await rest.begin(call, None)
    told = msgspec.to_builtins(reply.body)
    assert (list(told), told["expires_at"]) == (["csrf_token", "expires_at"], "2026-03-02T09:15:42.317Z")
    pair, *attributes = reply.headers["Set-Cookie"].split("; ")
    assert attributes == [
        "Path=/-/kubernetes-agent/k8s-proxy",
        "Max-Age=86400",
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
    ]
    cookie, csrf_token = Secret(pair.removeprefix("_gitlab_kas=")), Secret(told["csrf_token"])
    assert await hub.sessions.authenticate(cookie, csrf_token) == mia
    ended = await rest.end(call, None)
    assert ended.headers["Set-Cookie"].startswith("_gitlab_kas=; ")
    with pytest.raises(UnauthenticatedError):
        await hub.sessions.authenticate(cookie, csrf_token)


@pytest.mark.parametrize("site", ["cross-site", "x"])
async def test_a_page_of_another_site_begins_nothing(hub: HubServices, site):
    mia = await hub.user("mia")
    call = make_call(
        headers={"Sec-Fetch-Site": site},
        authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)),
    )
    with pytest.raises(ForbiddenError):
        await SessionsRest(hub.sessions, hub.clock).begin(call, None)
