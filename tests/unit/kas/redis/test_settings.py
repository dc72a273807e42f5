"""Addresses of a Redis, and the time a call may take."""

from __future__ import annotations

import pytest

from kasbah.errors import UserError
from kasbah.kas.redis.settings import RedisSettings, host_and_port
from kasbah.kit.secrets import Secret


@pytest.mark.parametrize(
    "changes",
    [
        {"addresses": ()},
        {"addresses": ("one:1", "two:2")},
        {"addresses": ("redis",)},
        {"addresses": (":6379",)},
        {"addresses": ("redis:70000",)},
        {"network": "udp"},
        {"network": "unix", "addresses": ("/run/redis",), "sentinel_master": "main"},
    ],
)
def test_what_cannot_be_reached_is_refused(changes: dict[str, object]):
    with pytest.raises(UserError, match="redis"):
        RedisSettings(**({"addresses": ("redis:6379",)} | changes))  # type: ignore[arg-type]


def test_an_address_of_ipv6_stands_in_brackets():
    assert host_and_port("[::1]:6379") == ("::1", 6379)


def test_a_call_takes_connecting_and_one_answer_and_never_long():
    assert RedisSettings(addresses=("redis:6379",)).call_timeout_s == 2.0
    assert RedisSettings(addresses=("redis:6379",), dial_timeout_s=5, read_timeout_s=3).call_timeout_s == 3.0


def test_a_password_is_not_shown():
    assert "sesame" not in repr(RedisSettings(addresses=("redis:6379",), password=Secret("sesame")))
