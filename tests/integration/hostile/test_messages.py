"""Every message an agent may send, wrong in every way: a status of the documented ones, and nothing else happens."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from structlog.testing import capture_logs

from kasbah.wire.methods import (
    CONNECT,
    GET_CONFIGURATION,
    GET_OBJECTS_TO_SYNCHRONIZE,
    GITLAB_ACCESS_MAKE_REQUEST,
    RECONCILE_PROJECTS,
    REGISTER,
    UNREGISTER,
)
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpResponse
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import ConnectRequest, Message
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.rpc import BidiMethod, Method, StatusCode, UnaryMethod
from tests.doubles.hostile_grpc import DATA, HostileGrpc, block, data, frame, headers, hostile
from tests.doubles.malformed_messages import malformed
from tests.doubles.running_agentk import until
from tests.integration.hostile.conftest import bystander, kas_among_hostiles, token_of

METHODS: list[Method] = [
    GET_CONFIGURATION,
    GET_OBJECTS_TO_SYNCHRONIZE,
    GITLAB_ACCESS_MAKE_REQUEST,
    RECONCILE_PROJECTS,
    REGISTER,
    UNREGISTER,
    CONNECT,
]
DOCUMENTED = {
    StatusCode.OK,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.PERMISSION_DENIED,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.RESOURCE_EXHAUSTED,
    StatusCode.UNAUTHENTICATED,
    StatusCode.UNAVAILABLE,
}
_AT_ONCE = 50


@pytest.mark.asyncio
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.path.rpartition(".")[2])
async def test_every_malformed_request_has_a_status(method: Method):
    wrong = malformed(method.request)
    async with kas_among_hostiles() as scene, bystander(scene, patience_s=5):
        with capture_logs() as logs:
            for agent_id, some in _some(wrong):
                await _ask(scene, method, agent_id, some)
        assert not [entry for entry in logs if entry["log_level"] in {"error", "critical"}]


def _some(wrong: dict[str, bytes]) -> list[tuple[int, list[tuple[str, bytes]]]]:
    items = list(wrong.items())
    return [(2 + at // _AT_ONCE, items[at : at + _AT_ONCE]) for at in range(0, len(items), _AT_ONCE)]


async def _ask(scene, method: Method, agent_id: int, some: list[tuple[str, bytes]]) -> None:
    asked = block(method.path, token_of(agent_id))
    async with hostile(scene.port) as peer:
        for index, (_, message) in enumerate(some):
            peer.say(headers(2 * index + 1, asked) + data(2 * index + 1, message, end=True))
        if isinstance(method, UnaryMethod | BidiMethod):
            await until(lambda: len(peer.statuses()) == len(some), 10)
        else:  # who streams may stay and wait
            await asyncio.sleep(0.3)
        statuses = peer.statuses()
    for index, (what, _) in enumerate(some):
        assert statuses.get(2 * index + 1, 0) in DOCUMENTED, what
    assert not peer.goaways


def _was_asked(peer: HostileGrpc, stream_id: int) -> bool:
    return (DATA, stream_id) in [(said[0], said[2]) for said in peer.frames()[-20:]]


@pytest.mark.asyncio
async def test_every_malformed_word_of_a_tunnel_ends_the_tunnel_alone():
    """While it carries a request, which has its answer then: an error of kas', soon."""
    words = malformed(ConnectRequest) | {
        f"a message with {what}": ConnectRequest(message=Message(data=raw)).SerializeToString()
        for what, raw in malformed(HttpResponse).items()
    }
    async with kas_among_hostiles() as scene, bystander(scene, patience_s=5), hostile(scene.port) as peer:
        with capture_logs() as logs:
            for index, (what, word) in enumerate(words.items()):
                stream_id = 2 * index + 1
                peer.say(
                    headers(stream_id, block(CONNECT.path, token_of(2)))
                    + data(stream_id, KUBERNETES_API_DESCRIPTOR)
                )
                async with asyncio.TaskGroup() as tasks:
                    asking = tasks.create_task(scene.ask(2))
                    await until(partial(_was_asked, peer, stream_id))
                    header = ConnectRequest(header={}).SerializeToString()
                    peer.say(data(stream_id, header, word, end=True))
                assert asking.result().status in {200, 502}, what
                assert asking.result().status == 502 or b"\r\n0\r\n\r\n" not in asking.result().body, what
        assert not [entry for entry in logs if entry["log_level"] in {"error", "critical"}]
        assert not peer.goaways


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\0\xff\xff\xff\xff", StatusCode.RESOURCE_EXHAUSTED),
        (b"\1\0\0\0\1x", StatusCode.INTERNAL),
        (b"\2\0\0\0\1x", StatusCode.INTERNAL),
        (b"\0\0\0\0\x09half", StatusCode.INTERNAL),
        (b"\0\0", StatusCode.INTERNAL),
    ],
)
async def test_a_malformed_prefix_has_a_status(said: bytes, status: StatusCode):
    async with kas_among_hostiles() as scene, hostile(scene.port) as peer:
        peer.say(headers(1, block(REGISTER.path, token_of(2))) + frame(DATA, 1, said, 1))
        await until(lambda: peer.statuses() == {1: status})
