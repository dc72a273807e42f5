from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kasbah.errors import Bug
from kasbah.kas.http_server.asgi import AsgiBridge, AsgiExchange, ClientGoneError
from kasbah.kas.http_server.clock import CoarseClock
from kasbah.wire import http1
from tests.doubles.recording_exchange import RecordingClient

CLOCK = CoarseClock(0, 0)
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}


def exchange(
    line: bytes = b"GET / HTTP/1.1",
    *lines: bytes,
    client: RecordingClient | None = None,
    state: dict[str, Any] | None = None,
) -> tuple[AsgiExchange, RecordingClient]:
    head = b"\r\n".join((line, b"Host: a", *lines)) + b"\r\n\r\n"
    client = client or RecordingClient()
    return AsgiExchange(http1.request_head(head), client, CLOCK, state or {}), client


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def answer(exchange: AsgiExchange, *messages: dict[str, Any]) -> None:
    for message in messages:
        await exchange.send(message)


@pytest.mark.asyncio
async def test_a_whole_answer_has_its_length_and_a_date():
    it, client = exchange()
    await answer(it, START, body(b"hello"))
    assert client.lines == b"HTTP/1.1 200 OK\r\na: b\r\n" + CLOCK.date
    assert (client.content_length, client.body, client.said) == (5, b"hello", ["start", "finish"])


@pytest.mark.asyncio
async def test_an_answer_in_parts_has_no_length():
    it, client = exchange()
    await answer(it, START, body(b"a", more=True), body(b"b", more=True), body())
    assert (client.content_length, client.body) == (None, b"ab")


@pytest.mark.asyncio
async def test_the_applications_length_and_date_count_and_its_framing_does_not():
    headers = [
        (b"Content-Length", b"2"),
        (b"Date", b"now"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"x"),
    ]
    it, client = exchange()
    await answer(it, {**START, "headers": headers}, body(b"a", more=True), body(b"b"))
    assert client.lines == b"HTTP/1.1 200 OK\r\nDate: now\r\n"
    assert client.content_length == 2


@pytest.mark.asyncio
async def test_head_and_204_have_no_body():
    it, client = exchange(b"HEAD / HTTP/1.1")
    await answer(it, START, body(b"hello"))
    assert (client.body, client.said) == (b"", ["start bodiless", "finish"])
    it, client = exchange()
    await answer(it, {"type": "http.response.start", "status": 204}, body())
    assert (client.content_length, client.said[0]) == (None, "start bodiless")


@pytest.mark.asyncio
async def test_a_header_cannot_split_the_answer():
    it, _ = exchange()
    with pytest.raises(Bug):
        await it.send({**START, "headers": [(b"a", b"b\r\nSet-Cookie: c")]})


@pytest.mark.asyncio
async def test_an_odd_status_is_said_without_a_phrase():
    it, client = exchange()
    await answer(it, {**START, "status": 799}, body())
    assert client.lines.startswith(b"HTTP/1.1 799 \r\n")


@pytest.mark.asyncio
async def test_what_follows_the_end_is_not_said():
    it, client = exchange()
    await answer(it, START, body(b"a"), body(b"b"))
    assert client.body == b"a"


@pytest.mark.asyncio
async def test_a_client_is_no_stranger_when_the_application_says_so():
    it, client = exchange(b"GET / HTTP/1.1", b"Private-Token: x", state={"authenticated": True})
    await answer(it, START, body())
    assert "authenticated" in client.said
    it, client = exchange(
        b"GET / HTTP/1.1", b"Private-Token: x", b"Cookie: a=b", b"Authorization: Basic eDp5"
    )
    await answer(it, START, body())
    assert "authenticated" not in client.said


@pytest.mark.asyncio
async def test_the_body_comes_in_parts_and_then_the_disconnect():
    it, client = exchange(b"POST / HTTP/1.1", b"Content-Length: 2")
    it.body_received(b"a")
    assert await it.receive() == {"type": "http.request", "body": b"a", "more_body": True}
    it.body_received(b"b")
    it.body_ended()
    assert await it.receive() == {"type": "http.request", "body": b"b", "more_body": False}
    it.client_gone()
    assert await it.receive() == {"type": "http.disconnect"}
    assert client.said == ["accept body"]


@pytest.mark.asyncio
async def test_a_body_nobody_takes_pauses_the_client():
    it, client = exchange(b"POST / HTTP/1.1", b"Content-Length: 600000")
    it.body_received(b"x" * 300_000)
    it.body_received(b"x")
    assert client.said == ["pause body"]
    await it.receive()
    assert client.said == ["pause body", "accept body", "resume body"]


@pytest.mark.asyncio
async def test_receive_waits_and_is_woken():
    it, _ = exchange()
    assert (await it.receive())["more_body"] is False
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(it.receive())
        await asyncio.sleep(0)
        it.client_gone()
    assert waiting.result() == {"type": "http.disconnect"}


@pytest.mark.asyncio
async def test_after_the_answer_receive_says_disconnect():
    it, client = exchange()
    await answer(it, START, body())
    assert await it.receive() == {"type": "http.disconnect"}
    assert "accept body" not in client.said


@pytest.mark.asyncio
async def test_send_waits_for_a_slow_client():
    it, client = exchange(client=RecordingClient(writable=False))
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(answer(it, START, body(b"x", more=True)))
        await asyncio.sleep(0)
        it.client_writable()
        await asyncio.sleep(0)
        assert not sending.done()
        client.writable = True
        it.client_writable()


@pytest.mark.asyncio
async def test_a_client_that_leaves_ends_send():
    it, _ = exchange(client=RecordingClient(writable=False))
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_leaves(it))
        await asyncio.sleep(0)
        it.client_gone()
    assert sending.result()
    with pytest.raises(ClientGoneError):
        await it.send(body())
    it.application_ended()


async def _leaves(it: AsgiExchange) -> bool:
    with pytest.raises(ClientGoneError):
        await answer(it, START, body(b"x", more=True))
    return True


def test_an_application_that_says_nothing_is_a_500():
    it, client = exchange()
    it.application_ended()
    it.application_ended()
    assert (client.status, client.body) == (500, b"Internal Server Error\n")


@pytest.mark.asyncio
async def test_an_application_that_stops_within_its_answer_breaks_it_off():
    it, client = exchange()
    await answer(it, START, body(b"x", more=True))
    it.application_ended()
    assert client.said[-1] == "abort"


def test_a_refusal_of_a_head_has_no_body():
    it, client = exchange(b"HEAD / HTTP/1.1")
    it.refuse(503, b"no")
    assert (client.status, client.body) == (503, b"")


def test_the_rest_is_borne():
    it, _ = exchange()
    it.deadline_passed()
    it.draining()
    assert not it.open_ended


@pytest.mark.asyncio
async def test_the_bridge_gives_the_application_its_scope():
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        raise ClientGoneError("left")

    bridge = AsgiBridge(application, CLOCK)
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Event()
        running = group.create_task(bridge.run(ready.set))
        await ready.wait()
        head = http1.request_head(b"GET /a%2Fb/%C3%A9?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        bridge.exchange(head, RecordingClient())
        await asyncio.sleep(0)
        running.cancel()
    (scope,) = scopes
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a/b/é", b"/a%2Fb/%C3%A9", b"x=1")
    assert (scope["scheme"], scope["client"]) == ("https", ["192.0.2.7", 0])
    assert scope["headers"] == [(b"host", b"a")]


def test_a_bridge_that_does_not_run_says_so():
    client = RecordingClient()
    AsgiBridge(None, CLOCK).exchange(http1.request_head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), client)
    assert client.status == 503
