"""How long kas believes the Git side."""

from __future__ import annotations

from kasbah.kas.hub_client.settings import HubClientSettings


def test_a_revoked_token_is_noticed_within_seconds():
    settings = HubClientSettings()
    assert settings.agent_info_error_ttl_s <= settings.agent_info_ttl_s <= 5
