"""What clients see of users and tokens."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.hub.accounts.rest import CreateOwnToken, FullUser, PublicUser, TokensRest
from kasbah.hub.rest.parameters import ParametersError, read
from tests.doubles.git_accounts import make_user
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import SITE, make_call


def test_others_see_no_address():
    shown = msgspec.to_builtins(PublicUser.of(make_user(), SITE))
    assert set(shown) == {"id", "username", "name", "state", "locked", "avatar_url", "web_url"}
    assert shown["web_url"] == "https://hub.example/user1"


def test_a_user_sees_their_own_address():
    assert FullUser.of(make_user(), SITE).email == "user1@example.com"


def test_people_make_tokens_for_the_proxy_only():
    assert read(CreateOwnToken, {"name": "t", "scopes": "k8s_proxy"}).scopes == ["k8s_proxy"]
    with pytest.raises(ParametersError, match="scopes does not have a valid value"):
        read(CreateOwnToken, {"name": "t", "scopes": ["k8s_proxy", "api"]})


@pytest.mark.asyncio
async def test_the_value_is_shown_when_a_token_is_made_and_never_again(hub: HubServices):
    rest = TokensRest(hub.tokens, hub.last_used, hub.clock)
    secret = await hub.pat(await hub.user("mia"))
    call = make_call(authenticated=await hub.accounts.authenticate_pat(secret))
    made = await rest.create_own(call, CreateOwnToken(name="t", scopes=["k8s_proxy", "k8s_proxy"]))
    shown = await rest.get_self(call, None)
    assert msgspec.to_builtins(made.body)["token"].startswith("glpat-")
    assert msgspec.to_builtins(made.body)["scopes"] == ("k8s_proxy",)
    assert "token" not in msgspec.to_builtins(shown.body)
    assert msgspec.to_builtins(shown.body)["last_used_at"] == "2026-03-01T09:15:42.317Z"
