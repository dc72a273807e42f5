"""What comes in: each order of messages, and each that is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kasbah.kas.gitlab_access.settings import Settings
from kasbah.kas.gitlab_access.upload import Upload
from kasbah.wire.pb.gitlab.agent.gitlab_access.rpc.rpc_pb2 import HeaderExtra
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.pb.gitlab.agent.prototool import prototool_pb2
from kasbah.wire.rpc import RpcError, StatusCode

TRAILER = HttpRequest(trailer=HttpRequest.Trailer())
UPGRADE_DATA = HttpRequest(upgradeData=HttpRequest.UpgradeData(data=b"x"))


def head(module: str | None = "m", length: int | None = None, **request: object) -> HttpRequest:
    header = HttpRequest.Header(request=prototool_pb2.HttpRequest(method="GET", url_path="/", **request))
    if module is not None:
        header.extra.Pack(HeaderExtra(module_name=module))
    if length is not None:
        header.content_length = length
    return HttpRequest(header=header)


def data(content: bytes) -> HttpRequest:
    return HttpRequest(data=HttpRequest.Data(data=content))


async def said(messages: tuple[HttpRequest, ...]) -> AsyncIterator[HttpRequest]:
    for message in messages:
        yield message


async def received(*messages: HttpRequest) -> tuple[str, bytes | None]:
    upload = Upload(said(messages), Settings(max_request_bytes=10))
    _, module = await upload.head()
    if not await upload.has_body():
        return module, None
    return module, b"".join([piece async for piece in upload.body()])


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([head(), TRAILER], None),
        ([head(length=0), TRAILER], None),
        ([head(length=-1), TRAILER], None),
        ([head(), data(b"a"), data(b""), data(b"b"), TRAILER], b"ab"),
        ([head(length=2), data(b"ab"), TRAILER], b"ab"),
        ([head(length=0), data(b""), TRAILER], b""),
        ([head(), data(b"x" * 10), TRAILER], b"x" * 10),
    ],
)
@pytest.mark.asyncio
async def test_a_request_is_a_head_and_its_body(messages, body):
    assert await received(*messages) == ("m", body)


def malformed_extra() -> HttpRequest:
    message = head()
    message.header.extra.value = b"\xff"
    return message


def foreign_extra() -> HttpRequest:
    message = head()
    message.header.extra.type_url = "type.googleapis.com/gitlab.agent.kubernetes_api.rpc.HeaderExtra"
    return message


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], StatusCode.INVALID_ARGUMENT),
        ([HttpRequest()], StatusCode.INVALID_ARGUMENT),
        ([TRAILER], StatusCode.INVALID_ARGUMENT),
        ([data(b"x")], StatusCode.INVALID_ARGUMENT),
        ([HttpRequest(header=HttpRequest.Header())], StatusCode.INVALID_ARGUMENT),
        ([head(module=None), TRAILER], StatusCode.INVALID_ARGUMENT),
        ([head(module=""), TRAILER], StatusCode.INVALID_ARGUMENT),
        ([malformed_extra(), TRAILER], StatusCode.INVALID_ARGUMENT),
        ([foreign_extra(), TRAILER], StatusCode.INVALID_ARGUMENT),
        ([head(length=-2), TRAILER], StatusCode.INVALID_ARGUMENT),
        ([head(), head(), TRAILER], StatusCode.INVALID_ARGUMENT),
        ([head()], StatusCode.INVALID_ARGUMENT),
        ([head(), data(b"x")], StatusCode.INVALID_ARGUMENT),
        ([head(), data(b"x"), head()], StatusCode.INVALID_ARGUMENT),
        ([head(), UPGRADE_DATA], StatusCode.INVALID_ARGUMENT),
        ([head(header={"upgrade": {"value": ["h2c"]}}), TRAILER], StatusCode.UNAVAILABLE),
        ([head(length=11), TRAILER], StatusCode.RESOURCE_EXHAUSTED),
        ([head(), data(b"x" * 11)], StatusCode.RESOURCE_EXHAUSTED),
        ([head(length=0), data(b"x"), TRAILER], StatusCode.INTERNAL),
        ([head(length=1), data(b"xy"), TRAILER], StatusCode.INTERNAL),
        ([head(length=3), data(b"xy"), TRAILER], StatusCode.INTERNAL),
        ([head(length=3), TRAILER], StatusCode.INTERNAL),
    ],
)
@pytest.mark.asyncio
async def test_what_is_no_request_is_refused_with_its_status(messages, code):
    with pytest.raises(RpcError) as caught:
        await received(*messages)
    assert caught.value.code == code


@pytest.mark.asyncio
async def test_an_agent_that_says_no_more_is_not_waited_for_for_ever():
    async def silent() -> AsyncIterator[HttpRequest]:
        await asyncio.Event().wait()
        yield TRAILER

    with pytest.raises(RpcError) as caught:
        await Upload(silent(), Settings(idle_timeout_s=0)).head()
    assert caught.value.code == StatusCode.DEADLINE_EXCEEDED


@pytest.mark.asyncio
async def test_what_was_wrong_with_a_body_is_remembered():
    upload = Upload(said((head(), data(b"x"))), Settings())
    await upload.head()
    await upload.has_body()
    with pytest.raises(RpcError):
        [piece async for piece in upload.body()]
    assert upload.error is not None
