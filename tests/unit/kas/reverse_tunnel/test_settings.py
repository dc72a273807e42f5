"""What the defaults promise together."""

from __future__ import annotations

from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.wire.native_tunnel.engine import PING_AFTER_S, PING_TIMEOUT_S

SETTINGS = ReverseTunnelSettings()


def test_a_revoked_token_is_noticed_within_ten_seconds():
    hub_answers_within_s = 5
    assert SETTINGS.token_check_interval_s + hub_answers_within_s <= 10


def test_whoever_does_not_greet_goes_before_whoever_falls_silent():
    assert SETTINGS.greeting_timeout_s < PING_AFTER_S + PING_TIMEOUT_S


def test_a_drain_ends_before_an_orchestrator_loses_patience():
    assert 0 < SETTINGS.drain_timeout_s <= 30
