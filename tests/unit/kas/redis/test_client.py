"""A Redis that cannot be: how it is asked for, and that its absence is one error, said once."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from structlog.testing import capture_logs

from kasbah.kas.redis import client
from kasbah.kas.redis.client import RedisClient, RedisUnavailableError
from kasbah.kas.redis.settings import RedisSettings, RedisTls
from kasbah.kit.secrets import Secret

NOBODY = RedisSettings(addresses=("127.0.0.1:1",))


@pytest.mark.asyncio
async def test_an_outage_is_said_once_and_its_end_too():
    redis = RedisClient(NOBODY)
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(RedisUnavailableError, match="redis: "):
                await redis.call("test", lambda r: r.ping())
        redis.answered()
        redis.answered()
    assert [line["event"] for line in logs] == ["redis is away", "redis is back"]


@pytest.mark.asyncio
async def test_a_subscription_to_nobody_is_the_same_error():
    with pytest.raises(RedisUnavailableError):
        async with RedisClient(NOBODY).subscription("events"):
            pass


def test_the_settings_reach_the_connections():
    tls = RedisTls(ca_certificate_file="ca.pem", certificate_file="c.pem", key_file="k.pem")
    settings = RedisSettings(
        addresses=("redis:6380",),
        tls=tls,
        username="kas",
        password=Secret("s"),
        database_index=3,
        pool_size=5,
    )
    pool = client._connect(settings)[0].connection_pool
    assert pool.connection_class is SSLConnection
    assert pool.max_connections == 5
    given = pool.connection_kwargs
    assert (given["host"], given["port"], given["username"], given["password"]) == ("redis", 6380, "kas", "s")
    assert (given["db"], given["ssl_ca_certs"], given["ssl_keyfile"]) == (3, "ca.pem", "k.pem")


def test_a_socket_is_a_path():
    pool = client._connect(RedisSettings(network="unix", addresses=("/run/redis.sock",)))[0].connection_pool
    assert pool.connection_class is UnixDomainSocketConnection
    assert pool.connection_kwargs["path"] == "/run/redis.sock"


def test_sentinels_are_asked_for_the_master_by_its_name():
    settings = RedisSettings(
        addresses=("a:26379", "b:26379"),
        sentinel_master="main",
        sentinel_password=Secret("s"),
        tls=RedisTls(),
    )
    redis, sentinel = client._connect(settings)
    assert sentinel is not None
    assert redis.connection_pool.service_name == "main"  # type: ignore[attr-defined]  # the sentinels' pool
    assert [s.connection_pool.connection_kwargs["password"] for s in sentinel.sentinels] == ["s", "s"]
