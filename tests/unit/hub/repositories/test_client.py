"""The client of one Git request."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from kasbah.gitrepo.errors import BadGitRequestError, GitTimedOutError, RequestTooLargeError
from kasbah.hub.repositories.client import ClientGoneError, GitClient
from tests.doubles.asgi_client import AsgiClient


def client_of(asgi: AsgiClient, *, idle_s: float = 5) -> GitClient:
    return GitClient(asgi.receive, asgi.send, idle_s=idle_s)


async def read(client: GitClient, *, encoding: str = "", max_bytes: int = 1000) -> bytes:
    return b"".join([piece async for piece in client.body(encoding=encoding, max_bytes=max_bytes)])


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding", ["", "identity"])
async def test_a_plain_body_is_read(encoding):
    assert await read(client_of(AsgiClient([b"ab", b"", b"cd"])), encoding=encoding) == b"abcd"


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
async def test_a_compressed_body_is_inflated(encoding):
    packed = gzip.compress(b"abcd")
    assert await read(client_of(AsgiClient([packed[:5], packed[5:]])), encoding=encoding) == b"abcd"


@pytest.mark.asyncio
async def test_an_unknown_compression_is_refused():
    with pytest.raises(BadGitRequestError, match="gzip and nothing else"):
        await read(client_of(AsgiClient([b"x"])), encoding="br")


@pytest.mark.asyncio
async def test_a_body_beyond_the_limit_is_refused():
    with pytest.raises(RequestTooLargeError, match="larger than 3 bytes"):
        await read(client_of(AsgiClient([b"ab", b"cd"])), max_bytes=3)


@pytest.mark.asyncio
async def test_a_client_that_leaves_amid_its_body_is_gone():
    with pytest.raises(ClientGoneError):
        await read(client_of(AsgiClient([b"ab"], complete=False, hangs_up=True)))


@pytest.mark.asyncio
async def test_a_client_that_falls_silent_is_timed_out():
    with pytest.raises(GitTimedOutError, match=r"for 0.01 s"):
        await read(client_of(AsgiClient([b"ab"], complete=False), idle_s=0.01))


@pytest.mark.asyncio
async def test_leaving_after_the_body_is_noticed():
    client = client_of(AsgiClient([b""], hangs_up=True))
    await read(client)
    with pytest.raises(ClientGoneError):
        await client.gone()


@pytest.mark.asyncio
async def test_discarding_ends_with_the_body_or_at_its_limit():
    asgi = AsgiClient([b"ab"] * 5)
    await client_of(asgi).discard_body(max_bytes=3)
    assert len(asgi.pieces) == 3
    await client_of(asgi).discard_body(max_bytes=100)
    assert asgi.pieces == []


@pytest.mark.asyncio
async def test_an_answer_of_one_line_is_whole_and_never_cached():
    asgi = AsgiClient()
    client = client_of(asgi)
    await client.answer(403, "no", {"X-Y": "z"})
    assert (asgi.status, asgi.body, asgi.answered_whole) == (403, b"no\n", True)
    assert asgi.headers["content-length"] == "3"
    assert asgi.headers["cache-control"].startswith("no-cache")
    assert client.status == 403


@pytest.mark.asyncio
async def test_a_client_that_left_before_the_answer_is_gone():
    with pytest.raises(ClientGoneError):
        await client_of(AsgiClient(refuses=True)).answer(200, "x")


@pytest.mark.asyncio
async def test_a_client_that_takes_nothing_is_gone():
    async def never(_message: object) -> None:
        await asyncio.Event().wait()

    client = GitClient(AsgiClient().receive, never, idle_s=0.01)
    with pytest.raises(ClientGoneError, match="took nothing"):
        await client.write(b"x")
