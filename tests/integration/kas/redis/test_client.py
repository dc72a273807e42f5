"""The client against a real server: every way in, and messages that survive its restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from kasbah.kas.redis.client import RedisUnavailableError
from kasbah.kas.redis.settings import RedisTls
from kasbah.kit.local_ca import ensure_local_ca
from kasbah.kit.secrets import Secret
from tests.doubles.redis_server import RedisServer, client_of, free_port, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server(password="open sesame") as running:
        yield running


@pytest.mark.asyncio
async def test_by_port_and_by_socket(server: RedisServer):
    by_socket = {"network": "unix", "addresses": (str(server.socket_path),)}
    for settings in (server.settings(), server.settings(**by_socket)):
        async with client_of(settings) as client:
            assert await client.call("test", lambda redis: redis.ping())


@pytest.mark.asyncio
async def test_a_wrong_password_is_told(server: RedisServer):
    async with client_of(server.settings(password=Secret("wrong"))) as client:
        with pytest.raises(RedisUnavailableError, match="password"):
            await client.call("test", lambda redis: redis.ping())


@pytest.mark.asyncio
async def test_over_tls_by_the_given_authority(tmp_path):
    made = ensure_local_ca(tmp_path, ["127.0.0.1"])
    port = free_port()
    files = ("--tls-cert-file", made.certificate, "--tls-key-file", made.key, "--tls-auth-clients", "no")
    options = ("--tls-port", str(port), *map(str, files))
    with running_server(options=options) as server:
        trusting = RedisTls(ca_certificate_file=str(made.ca_certificate))
        async with client_of(server.settings(addresses=(f"127.0.0.1:{port}",), tls=trusting)) as client:
            assert await client.call("test", lambda redis: redis.ping())
        async with client_of(server.settings(addresses=(f"127.0.0.1:{port}",), tls=RedisTls())) as client:
            with pytest.raises(RedisUnavailableError, match="certificate"):
                await client.call("test", lambda redis: redis.ping())


@pytest.mark.asyncio
async def test_sentinels_lead_to_the_master(server: RedisServer, tmp_path):
    port = free_port()
    (tmp_path / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor main 127.0.0.1 {server.port} 1\nsentinel auth-pass main {server.password}\n".replace(
            "open sesame", '"open sesame"'
        )
    )
    from tests.doubles.redis_server import program

    process = await asyncio.create_subprocess_exec(
        program(), str(tmp_path / "sentinel.conf"), "--sentinel", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        settings = server.settings(addresses=(f"127.0.0.1:{port}",), sentinel_master="main")
        async with client_of(settings) as client, asyncio.timeout(10):
            while True:
                try:
                    assert await client.call("test", lambda redis: redis.ping())
                    break
                except RedisUnavailableError:
                    await asyncio.sleep(0.1)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.asyncio
async def test_messages_come_until_the_server_is_gone():
    with running_server() as server:
        async with client_of(server.settings()) as client:
            async with client.subscription("c") as messages:
                await client.call("test", lambda redis: redis.publish("c", b"one"))
                assert await anext(messages) == b"one"
            with pytest.raises(RedisUnavailableError):  # noqa: PT012 - the block is what fails
                async with client.subscription("c") as messages:
                    server.stop()
                    await anext(messages)
            server.start()
            assert await client.call("test", lambda redis: redis.ping())
