"""Requests of agents' modules over real sockets: what the Git side's server does with a body decides who hears what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import HubUnavailableError
from kasbah.kas.hub_client.module_request import checked
from kasbah.kit.secrets import Secret
from tests.doubles.fake_hub import SECRET
from tests.doubles.loopback_server import Script, read_head, serving

pytestmark = pytest.mark.asyncio

TOKEN = Secret("glagent-good")
REQUEST = checked("POST", "remote_development", "/recon cile", {}, {"Content-Type": ["text/plain"]})


@asynccontextmanager
async def client_of(script: Script) -> AsyncIterator[HubClient]:
    async with (
        serving(script) as server,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}/gitlab") as http,
        asyncio.timeout(20),
    ):
        yield HubClient(http, SECRET)


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_head_is_what_was_checked_and_a_body_of_known_length_is_not_chunked():
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        assert await reader.readexactly(4) == b"abcd"
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with (
        client_of(script) as client,
        client.module_request(TOKEN, REQUEST, pieces(b"ab", b"cd"), 4) as answer,
    ):
        assert answer.status == 204
    lines = heads[0].decode().lower().split("\r\n")
    assert (
        lines[0] == "post /gitlab/api/v4/internal/kubernetes/modules/remote_development/recon%20cile http/1.1"
    )
    names = sorted(line.partition(":")[0] for line in lines[1:] if line)
    assert names == [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "gitlab-kas-api-request",
        "host",
        "user-agent",
    ]


async def test_pieces_go_through_in_both_directions_as_they_come():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        while (await reader.readline()) != b"0\r\n":
            await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            writer.write(b"2\r\nhi\r\n")
            await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n")

    async with (
        client_of(script) as client,
        client.module_request(TOKEN, REQUEST, pieces(b"a", b"b")) as answer,
    ):
        assert [chunk async for chunk in answer.chunks()] == [b"hi", b"hi", b"hi"]


async def test_an_encoded_body_stays_encoded():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz")

    async with client_of(script) as client, client.module_request(TOKEN, REQUEST, None) as answer:
        assert [chunk async for chunk in answer.chunks()] == [b"xyz"]


async def test_a_server_that_answers_early_and_lingers_is_heard():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await reader.readuntil(
            b"0\r\n\r\n"
        )  # reads and forgets the rest, as servers do that want to be heard

    body = pieces(*[b"x" * 30_000] * 2)
    async with client_of(script) as client, client.module_request(TOKEN, REQUEST, body) as answer:
        assert answer.status == 413


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async with client_of(script) as client:
        with pytest.raises(HubUnavailableError):
            async with client.module_request(TOKEN, REQUEST, None) as answer:
                [chunk async for chunk in answer.chunks()]


async def test_a_server_that_leaves_without_an_answer_is_away():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    async with client_of(script) as client:
        with pytest.raises(HubUnavailableError):
            async with client.module_request(TOKEN, REQUEST, pieces(b"x")):
                pass


async def test_a_redirect_is_handed_on_and_not_followed():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    async with client_of(script) as client, client.module_request(TOKEN, REQUEST, None) as answer:
        assert answer.status == 302
