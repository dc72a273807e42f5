"""Settings that hold a secret."""

from __future__ import annotations

from kasbah.kas.private_api.settings import PrivateApiSettings


def test_the_secret_is_not_shown():
    assert "sesame" not in repr(PrivateApiSettings(listens=(), own_url="grpc://a:1", secret=b"open sesame"))
