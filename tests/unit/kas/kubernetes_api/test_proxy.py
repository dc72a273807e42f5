from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.kubernetes_api.directory import HubDirectory
from kasbah.kas.kubernetes_api.proxy import KubernetesApiProxy
from kasbah.kas.kubernetes_api.record import NoJournal
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.usage_metrics.counters import UsageCounters
from kasbah.wire import http1
from tests.doubles.loopback_agent import LoopbackAgent, until
from tests.doubles.people import People
from tests.doubles.recording_exchange import RecordingClient

HUB = "https://hub.example"
TOKEN = b"Authorization: Bearer pat:7:good"


def make(origin: str = HUB) -> tuple[KubernetesApiProxy, LoopbackAgent]:
    agent = LoopbackAgent()
    settings = KubernetesApiSettings(external_origin=origin)
    proxy = KubernetesApiProxy(
        HubDirectory(People()),
        agent,
        CoarseClock(0, 0),
        prefix=b"/k8s/",
        usage=UsageCounters(),
        settings=settings,
    )
    return proxy, agent


@contextlib.asynccontextmanager
async def running(origin: str = HUB) -> AsyncIterator[tuple[KubernetesApiProxy, LoopbackAgent]]:
    proxy, agent = make(origin)
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Event()
        task = group.create_task(proxy.run(ready.set))
        await ready.wait()
        yield proxy, agent
        task.cancel()


def ask(
    proxy: KubernetesApiProxy, line: bytes, *lines: bytes, host: bytes = b"kas.example"
) -> RecordingClient:
    raw = b"\r\n".join((line + b" HTTP/1.1", b"Host: " + host, *lines)) + b"\r\n\r\n"
    client = RecordingClient()
    proxy.exchange(http1.request_head(raw), client)
    return client


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_request_below_the_prefix_reaches_the_agent_without_it():
    async with running() as (proxy, agent):
        client = ask(proxy, b"GET /k8s/version", TOKEN)
        await settle()
        assert agent.streams[0].request_head.startswith(b"GET /version HTTP/1.1\r\n")
        agent.streams[0].answer()
        assert client.status == 200


@pytest.mark.asyncio
async def test_all_are_sent_when_nobody_waits_for_a_grant_or_a_tunnel_any_more():
    async with running() as (proxy, agent), asyncio.TaskGroup() as tasks:
        agent.connected = False
        ask(proxy, b"GET /k8s/version", TOKEN)
        refused = ask(proxy, b"GET /k8s/version", b"Authorization: Bearer pat:7:bad")
        sent = tasks.create_task(proxy.sent())
        await until(lambda: bool(refused.status and agent.waiting))
        await settle()
        assert not sent.done()
        agent.connect()
        await sent
        assert len(agent.streams) == 1


@pytest.mark.asyncio
async def test_who_has_gone_or_never_finds_a_tunnel_holds_nobody_up():
    async with running() as (proxy, agent):
        agent.connected = False
        ask(proxy, b"GET /k8s/version", TOKEN)
        (exchange,) = proxy.seeking
        exchange.client_gone()
        await proxy.sent()
        proxy.settings = KubernetesApiSettings(authorization_timeout_s=0, agent_wait_s=0)
        ask(proxy, b"GET /k8s/version", TOKEN)
        await proxy.sent()


@pytest.mark.asyncio
async def test_a_request_beside_the_prefix_is_refused():
    async with running() as (proxy, _):
        client = ask(proxy, b"GET /k8s", TOKEN)
    assert client.status == 400
    assert b"URL does not start with expected prefix" in client.body


@pytest.mark.asyncio
async def test_a_request_without_a_credential_is_refused():
    async with running() as (proxy, _):
        client = ask(proxy, b"GET /k8s/version")
    assert client.status == 401


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "origin", "status"),
    [
        (b"GET", b"https://hub.example", 200),
        (b"GET", b"https://kas.example", 200),
        (b"GET", b"https://evil.example", 403),
        (b"GET", b"null", 403),
        (b"OPTIONS", b"https://hub.example", 200),
        (b"OPTIONS", b"https://kas.example", 403),
        (b"OPTIONS", b"https://evil.example", 403),
    ],
)
async def test_only_the_hubs_pages_and_this_host_may_ask(method, origin, status):
    async with running() as (proxy, agent):
        client = ask(proxy, method + b" /k8s/version", TOKEN, b"Origin: " + origin)
        await settle()
        for stream in agent.streams:
            stream.answer()
    assert client.status == status
    readable = b"Access-Control-Allow-Origin: " + origin in client.lines
    assert readable is (origin == HUB.encode())


@pytest.mark.asyncio
async def test_a_preflight_echoes_the_headers_asked_for():
    async with running() as (proxy, _):
        client = ask(proxy, b"OPTIONS /k8s/version", b"Access-Control-Request-Headers: x-csrf-token")
    assert client.status == 200
    assert b"Access-Control-Allow-Headers: x-csrf-token\r\n" in client.lines
    assert b"Access-Control-Max-Age: 86400\r\n" in client.lines


@pytest.mark.asyncio
async def test_without_an_origin_of_our_own_no_page_may_ask():
    async with running("") as (proxy, _):
        assert ask(proxy, b"GET /k8s/version", TOKEN, b"Origin: https://hub.example").status == 403


SESSION = (b"Cookie: _gitlab_kas=cookie", b"Gitlab-Agent-Id: 7", b"X-Csrf-Token: csrf")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("host", "lines", "status"),
    [
        (b"hub.example", (), 200),
        (b"kas.hub.example", (b"Origin: https://hub.example", b"Sec-Fetch-Site: same-site"), 200),
        (b"hub.example", (b"Sec-Fetch-Site: cross-site",), 403),
        (b"hub.example", (b"Origin: http://hub.example",), 403),
        (b"evil.example", (), 421),
    ],
)
async def test_a_cookie_counts_on_the_hubs_pages_only(host, lines, status):
    async with running() as (proxy, agent):
        client = ask(proxy, b"GET /k8s/version", *SESSION, *lines, host=host)
        await settle()
        for stream in agent.streams:
            stream.answer()
    assert client.status == status
    assert len(agent.streams) == (status == 200)
    assert client.body == (b"{}" if status == 200 else b"")


class Door(NoJournal):
    """Writes down who was turned away."""

    def __init__(self) -> None:
        self.statuses: list[tuple[str, int]] = []

    def turned_away(self, head: http1.RequestHead, client_address: str, status: int) -> None:
        self.statuses.append((client_address, status))


@pytest.mark.asyncio
async def test_who_is_turned_away_at_the_door_is_told_to_the_journal():
    async with running() as (proxy, _):
        door = proxy.journal = Door()
        ask(proxy, b"GET /k8s/version")
        ask(proxy, b"GET /elsewhere", TOKEN)
        ask(proxy, b"GET /k8s/version", TOKEN, b"Origin: https://evil.example")
        ask(proxy, b"GET /k8s/version", *SESSION, host=b"evil.example")
        ask(proxy, b"OPTIONS /k8s/version")
    ask(proxy, b"GET /k8s/version", TOKEN)
    assert door.statuses == [("192.0.2.7", status) for status in (401, 400, 403, 421, 503)]


@pytest.mark.asyncio
async def test_a_page_of_a_cluster_does_not_reach_a_browser():
    async with running() as (proxy, agent):
        client = ask(proxy, b"GET /k8s/api/v1/namespaces/a/pods/b/proxy/", *SESSION, host=b"hub.example")
        await settle()
        agent.streams[0].say_head(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\n")
    assert client.status == 502
    assert b"not of a kind that a browser may get" in client.body


def test_a_proxy_that_does_not_run_says_so_and_starts_nothing():
    proxy, _ = make()
    assert ask(proxy, b"GET /k8s/version", TOKEN).status == 503
    proxy.spawn(asyncio.sleep(0))
