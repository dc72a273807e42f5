"""Bounds of the internal API."""

from __future__ import annotations

from kasbah.kas.internal_api.settings import InternalApiSettings


def test_who_proves_nothing_is_gone_long_before_who_does():
    settings = InternalApiSettings()
    assert settings.greeting_timeout_s < settings.connection_age_grace_s < settings.max_connection_age_s
