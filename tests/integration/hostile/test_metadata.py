"""What an agent says beside its messages: refused where HTTP/2 forbids it, and passed on to nobody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from kasbah.wire.methods import CONNECT, REGISTER
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    ConnectRequest,
    ConnectResponse,
    Header,
    Message,
    Trailer,
)
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from tests.doubles.hostile_grpc import block, data, headers, hostile, indexed, literal
from tests.doubles.running_agentk import until
from tests.integration.hostile.conftest import bystander, kas_among_hostiles, token_of

pytestmark = pytest.mark.asyncio

ASKED = REGISTER.request(pod_id=5).SerializeToString()
GOOD = block(REGISTER.path, token_of(2))
TOKEN = ("authorization", f"Bearer {token_of(2)}")
OK, EXHAUSTED, UNIMPLEMENTED, UNAUTHENTICATED = 0, 8, 12, 16
RESET, SIX = "reset", 1
EVIL = "e-v-i-l"


def pseudo(**fields: str | None) -> bytes:
    """A call's block with other pseudo-header fields; None leaves one out."""
    all_of_them = {"method": "POST", "scheme": "http", "path": REGISTER.path} | fields
    said = b"".join(literal(f":{name}", value) for name, value in all_of_them.items() if value is not None)
    return said + literal("content-type", "application/grpc") + literal(*TOKEN)


CALLS: dict[str, tuple[bytes, int | str]] = {
    "no token": (block(REGISTER.path, None), UNAUTHENTICATED),
    "an empty token": (block(REGISTER.path, ""), UNAUTHENTICATED),
    "two tokens": (GOOD + literal(*TOKEN), UNAUTHENTICATED),
    "two tokens in one": (block(REGISTER.path, f"{token_of(2)}, Bearer {token_of(3)}"), UNAUTHENTICATED),
    "a token of 10 KiB": (block(REGISTER.path, "x" * 10_000), UNAUTHENTICATED),
    "a token that is not ASCII": (block(REGISTER.path, "glagent-é"), UNAUTHENTICATED),
    "a token that is not UTF-8": (
        block(REGISTER.path, None) + literal("authorization", b"Bearer \xff\xfe"),
        UNAUTHENTICATED,
    ),
    "a token with control characters": (block(REGISTER.path, "glagent-2\x01\x7f"), UNAUTHENTICATED),
    "a token with a space": (block(REGISTER.path, "glagent-2 "), UNAUTHENTICATED),
    "a token in a binary field": (
        block(REGISTER.path, None) + literal("authorization-bin", b"Bearer glagent-2"),
        UNAUTHENTICATED,
    ),
    "a name in capitals": (GOOD + literal("X-Name", "v"), RESET),
    "authorization in capitals": (block(REGISTER.path, None) + literal("Authorization", TOKEN[1]), RESET),
    "an empty name": (GOOD + literal("", "v"), RESET),
    "a name with a space": (GOOD + literal("x y", "v"), RESET),
    "a name with a line end": (GOOD + literal("x\r\ny", "v"), RESET),
    "a name that is not ASCII": (GOOD + literal(b"x\xc3\xa9", "v"), RESET),
    "a value with a line end": (GOOD + literal("x", "v\r\nauthorization: y"), RESET),
    "a value with a zero byte": (GOOD + literal("x", "v\0"), RESET),
    "a value that is not UTF-8": (GOOD + literal("x", b"\xff\xfe"), OK),
    "a binary field": (GOOD + literal("x-bin", b"!!"), OK),
    "connection": (GOOD + literal("connection", "close"), RESET),
    "transfer-encoding": (GOOD + literal("transfer-encoding", "chunked"), RESET),
    "a content length that lies": (GOOD + literal("content-length", "1"), OK),
    "two content types": (GOOD + literal("content-type", "text/html"), "415"),
    "a field of HTTP/2 behind the others": (GOOD + literal(":path", "/x"), RESET),
    "an unknown field of HTTP/2": (literal(":protocol", "websocket") + GOOD, RESET),
    "an answer's field": (literal(":status", "200") + GOOD, RESET),
    "a path twice": (literal(":path", "/x") + GOOD, RESET),
    "no path": (pseudo(path=None), RESET),
    "no method": (pseudo(method=None), RESET),
    "GET": (pseudo(method="GET"), "405"),
    "an empty path": (pseudo(path=""), UNIMPLEMENTED),
    "a path that is not ASCII": (pseudo(path="/é"), UNIMPLEMENTED),
    "a path with control characters": (pseudo(path="/x\x1b[2J\r\n\0"), UNIMPLEMENTED),
    "a path upwards": (pseudo(path="/../" + REGISTER.path), UNIMPLEMENTED),
    "a very long path": (pseudo(path="/" + "x" * 15_000), UNIMPLEMENTED),
    "any authority": (pseudo(authority="wss:%2F%2Fkas@[::1]"), OK),
    "an unknown encoding": (GOOD + literal("grpc-encoding", "br"), UNIMPLEMENTED),
    "any timeout": (GOOD + literal("grpc-timeout", "-1Z"), OK),
    "impersonation": (GOOD + literal("impersonate-user", "system:admin"), OK),
    "a hop's field": (GOOD + literal("kas-hop-routing-agent-id", "3") + literal("gitlab-agent-id", "3"), OK),
    "over 16 KiB": (GOOD + indexed("x", "v" * 4000) + b"\xbe" * 4, EXHAUSTED),
    "two hundred fields": (GOOD + literal("x", "v") * 200, OK),
}


async def _true(what: Callable[[], object]) -> bool:
    with contextlib.suppress(TimeoutError):
        await until(what, 3)
    return bool(what())


async def test_every_oddity_has_its_answer_and_the_next_call_is_served():
    """Each on a connection of its own, so that the next call is known to be."""
    async with kas_among_hostiles() as scene, bystander(scene):
        with capture_logs() as logs:
            for what, (called, outcome) in CALLS.items():
                async with hostile(scene.port) as peer:
                    peer.say(headers(1, called) + data(1, ASKED, end=True))
                    peer.say(headers(3, GOOD) + data(3, ASKED, end=True))
                    assert await _true(lambda: 3 in peer.statuses()), (what, peer.goaways)
                    assert peer.statuses()[3] == OK, what
                    if outcome == RESET:
                        assert peer.resets().get(1) == SIX, what
                    elif isinstance(outcome, str):
                        assert peer.answers()[1][":status"] == outcome, what
                    else:
                        assert await _true(lambda: 1 in peer.statuses()), what
                        assert peer.statuses()[1] == outcome, (what, peer.answers()[1])
        assert not [entry for entry in logs if entry["log_level"] in {"error", "critical"}]
        assert not [entry for entry in logs if "\x1b" in str(entry)]


async def test_nothing_that_stands_beside_an_answer_reaches_who_asked_or_another_agent():
    """In the call's metadata, in the tunnel's header and in its trailer, each of the names that mean something."""
    names = [
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-x",
        "x-remote-user",
        "kas-hop-routing-agent-id",
        "gitlab-agent-id",
        "set-cookie",
        "location",
        "content-length",
        "transfer-encoding",
        "x-evil-bin",
        "traceparent",
        "cookie",
    ]
    meta = {name: Values(value=[EVIL, EVIL]) for name in [*names, "authorization", ":status", "Gitlab-Sv"]}
    beside = [(name, EVIL) for name in names if name not in {"transfer-encoding", "content-length"}]
    words = [
        ConnectRequest(header=Header(meta=meta)),
        *(
            ConnectRequest(message=Message(data=said.SerializeToString()))
            for said in (
                HttpResponse(header=HttpResponse.Header(response={"status_code": 200, "status": EVIL})),
                HttpResponse(data=HttpResponse.Data(data=b"good")),
                HttpResponse(trailer=HttpResponse.Trailer()),
            )
        ),
        ConnectRequest(trailer=Trailer(meta=meta)),
    ]
    async with kas_among_hostiles() as scene, hostile(scene.port) as peer, hostile(scene.port) as other:
        with capture_logs() as logs:
            peer.say(
                headers(1, block(CONNECT.path, token_of(2), *beside)) + data(1, KUBERNETES_API_DESCRIPTOR)
            )
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(scene.ask(2))
                await until(lambda: peer.messages(1))
                peer.say(data(1, *(word.SerializeToString() for word in words), end=True))
            got = asking.result()
            assert (got.status, got.body) == (200, b"4\r\ngood\r\n0\r\n\r\n")
            assert EVIL.encode() not in got.head
            other.say(headers(1, block(CONNECT.path, token_of(3))) + data(1, KUBERNETES_API_DESCRIPTOR))
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(
                    scene.ask(3, headers=b"traceparent: 00-%b-%b-01\r\n" % (b"1" * 32, b"2" * 16))
                )
                await until(lambda: len(other.messages(1)) > 1)
                other.say(data(1, *(word.SerializeToString() for word in words), end=True))
            info, head = other.messages(1)[:2]
            assert EVIL.encode() not in info + head
            assert ConnectResponse.FromString(info).request_info.meta.keys() <= {"traceparent", "tracestate"}
            asked = HttpRequest.FromString(ConnectResponse.FromString(head).message.data).header.request
            assert set(asked.header) <= {"Accept-Encoding", "Audit-Id", "Via", "Traceparent"}
        assert EVIL not in str(logs)


async def test_a_persons_impersonation_that_is_none_reaches_no_agent():
    async with kas_among_hostiles() as scene, hostile(scene.port) as peer:
        peer.say(headers(1, block(CONNECT.path, token_of(2))) + data(1, KUBERNETES_API_DESCRIPTOR))
        for lines in (b"Impersonate-Group: admins\r\n", b"X-Remote-User: admin\r\n"):
            got = await scene.ask(2, headers=lines)
            assert got.status == 400
        assert peer.messages(1) == []
