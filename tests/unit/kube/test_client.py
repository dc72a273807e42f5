from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kasbah.kube.access import ClusterAccess, FixedAuthorization, bearer
from kasbah.kube.client import KubeClient, StatusError
from kasbah.kube.errors import UpstreamError
from kasbah.wire.identity import AsUser
from tests.doubles.upstream import FakeConnections

ACCESS = ClusterAccess(
    host="h",
    port=6443,
    base_path="/base",
    authorization=FixedAuthorization(bearer("t")),
    identity=AsUser(username="alice"),
)


class FakePool(FakeConnections):
    """Connections with the address of a cluster."""

    access = ACCESS


async def ask(call: Callable[[KubeClient], Awaitable[Any]], answer: bytes) -> tuple[Any, FakePool]:
    """Make a call and let the API server answer; what the call returned, and the pool."""
    pool = FakePool()
    client = KubeClient(pool)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_settle(call(client)))
        await asyncio.sleep(0)
        pool.connections[0].data_received(answer)
    return task.result(), pool


async def _settle(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except UpstreamError as error:
        return error
    except StatusError as error:
        return error


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.asyncio
async def test_a_get_carries_our_own_credentials_and_identity():
    answer, pool = await ask(lambda client: client.get_json("/api"), ok(b'{"a": 1}'))
    assert answer == {"a": 1}
    assert pool.transports[0].take().decode().split("\r\n") == [
        "GET /base/api HTTP/1.1",
        "Host: h:6443",
        "Accept: application/json",
        "User-Agent: kasbah-agentk",
        "Authorization: Bearer t",
        "Impersonate-User: alice",
        "",
        "",
    ]
    assert pool.owner.released == 1


@pytest.mark.asyncio
async def test_an_object_is_sent_whole():
    answer, pool = await ask(
        lambda client: client.send_json("POST", "/x", {"a": 1}),
        b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
    )
    assert answer == {}
    head, _, body = pool.transports[0].take().decode().partition("\r\n\r\n")
    assert head.startswith("POST /base/x HTTP/1.1\r\n")
    assert {"Content-Type: application/json", "Content-Length: 7"} <= set(head.split("\r\n"))
    assert body == '{"a":1}'


@pytest.mark.asyncio
async def test_a_refusal_says_what_the_api_server_says():
    status = b'{"kind":"Status","message":"leases is forbidden"}'
    answer, _ = await ask(
        lambda client: client.get_json("/x"),
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%b" % (len(status), status),
    )
    assert (answer.status, str(answer)) == (403, "the API server answered 403: leases is forbidden")


@pytest.mark.asyncio
async def test_the_version_is_read():
    answer, _ = await ask(KubeClient.server_version, ok(b'{"major":"1","minor":"36","gitVersion":"v1.36.3"}'))
    assert (answer.major, answer.git_version) == ("1", "v1.36.3")


@pytest.mark.asyncio
async def test_a_version_that_is_none_is_an_error():
    answer, _ = await ask(KubeClient.server_version, ok(b"<html>"))
    assert "/version" in str(answer)


@pytest.mark.asyncio
async def test_any_other_status_is_an_error():
    answer, _ = await ask(
        lambda client: client.get_json("/x"), b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    )
    assert (answer.status, answer.retryable) == (503, True)


@pytest.mark.asyncio
async def test_an_answer_that_breaks_off_is_an_error():
    answer, _ = await ask(lambda client: client.get_json("/x"), b"nonsense\r\n\r\n")
    assert isinstance(answer, UpstreamError)


@pytest.mark.asyncio
async def test_an_endless_answer_is_cut():
    answer, pool = await ask(
        lambda client: client.get_json("/x"), b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (9 * 1024 * 1024)
    )
    assert "over" in str(answer)
    assert pool.transports[0].aborted
