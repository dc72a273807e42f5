from __future__ import annotations

from kasbah.kas.http_server.settings import HttpServerSettings


def test_a_strangers_head_has_less_time_than_an_idle_connection():
    settings = HttpServerSettings()
    assert settings.head_timeout_s < settings.idle_timeout_s
    assert settings.max_strangers < settings.max_connections
