"""What reaching kas takes when nothing but its address is said."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.http_proxy import ProxySettings
from kasbah.kit.secrets import Secret

ADDRESS = parse_kas_address("wss://kas.example.com/")


def test_certificates_are_verified_unless_somebody_says_otherwise():
    settings = ReverseTunnelSettings(address=ADDRESS)
    assert not settings.insecure_skip_tls_verify
    assert (settings.ca_file, settings.tls_server_name) == (None, "")


def test_a_proxy_s_password_is_not_printed():
    proxy = ProxySettings(https_proxy=Secret("http://me:hunter2@proxy:3128"))
    assert "hunter2" not in repr(ReverseTunnelSettings(address=ADDRESS, proxy=proxy))


def test_they_do_not_change_once_they_are_read():
    settings = ReverseTunnelSettings(address=ADDRESS)
    with pytest.raises(FrozenInstanceError):
        settings.insecure_skip_tls_verify = True  # type: ignore[misc]
