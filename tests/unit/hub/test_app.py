"""Composition refuses what cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.hub.app import HubSettings, create_app
from kasbah.hub.kas_client import NullKasClient
from kasbah.kit.secrets import Secret


def settings(data_dir: Path, secret: str) -> HubSettings:
    return HubSettings(
        data_dir=data_dir,
        kas_secret=Secret(secret),
        external_url="https://hub.example",
        kas_external_url="wss://hub.example/-/kubernetes-agent/",
        k8s_proxy_external_url="https://hub.example/-/kubernetes-agent/k8s-proxy/",
        version="18.6.1",
    )


def test_a_secret_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="a shared secret must be base64"):
        create_app(settings(tmp_path, "short"), NullKasClient())


def test_settings_never_show_the_secret(tmp_path: Path):
    assert "c2VjcmV0" not in repr(settings(tmp_path, "c2VjcmV0"))
