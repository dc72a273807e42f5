from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kasbah.kit.doctor.check import FaultError
from kasbah.kit.doctor.link import Answer, Exchange, Link, needs_tls

pytestmark = pytest.mark.asyncio


class Writer:
    """Takes what is sent and says nothing."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        """Nothing waits."""


def exchange(*answers: bytes) -> Exchange:
    reader = asyncio.StreamReader()
    for data in answers:
        reader.feed_data(data)
    reader.feed_eof()
    writer: Any = Writer()
    return Exchange(Link(reader, writer))


async def test_an_answer_is_read_whole():
    answer = await exchange(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nServer: nginx\r\nX-A: 1\r\nx-a: 2\r\n",
        b"Content-Type: text/html\r\nContent-Length: 29\r\n\r\n<html><title> Oops </title>..",
    ).whole(b"GET / HTTP/1.1\r\n\r\n")
    assert (answer.status, answer.headers["x-a"], answer.complete) == (404, "1, 2", True)
    assert answer.summary == '404 Not Found from nginx, a page titled "Oops"'


async def test_chunks_are_read_as_they_come():
    asked = exchange(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert (await asked.ask(b"")).status == 200
    assert (await asked.piece(), await asked.piece()) == (b"abc", b"")


async def test_a_connection_that_breaks_ends_the_body():
    asked = exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    answer = await asked.whole(b"")
    assert (answer.body, answer.complete) == (b"abc", False)


async def test_what_follows_an_upgrade_is_kept():
    asked = exchange(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n\x82\x00")
    answer = await asked.ask(b"")
    assert (answer.status, answer.upgraded, asked.behind_upgrade) == (101, True, b"\x82\x00")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (b"", "http-closed"),
        (b"HTTP/1.1 200 O", "http-closed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "http-not-http"),
        (b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0", "http-speaks-http2"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "http-needs-tls"),
    ],
)
async def test_what_is_no_answer_has_a_name(said: bytes, fault: str):
    with pytest.raises(FaultError) as found:
        await exchange(said).ask(b"")
    assert found.value.fault == fault


async def test_who_says_nothing_of_himself_is_a_server_all_the_same():
    page = Answer(status=200, reason="OK", headers={"content-type": "text/html"})
    assert page.summary == "200 OK from a server that does not say its name, a web page"
    assert needs_tls("it speaks TLS").fault == "http-needs-tls"
