"""agentk before a hostile kas: it lives on, dials again not too often, and asks its cluster nothing that it may not."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from kasbah.agentk.reverse_tunnel.pool import MAX_TUNNELS
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.pb.gitlab.agent.kubernetes_api.rpc.rpc_pb2 import HeaderExtra
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import CloseSend, Message, RequestInfo
from tests.doubles.grpc_kas import Answer, GrpcKas
from tests.doubles.hostile_grpc import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PING,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    frame,
    headers,
    literal,
)
from tests.doubles.loopback_server import LoopbackServer, serving
from tests.doubles.running_agentk import Running, agentk, api_server, until

pytestmark = pytest.mark.asyncio

GREETING = frame(SETTINGS) + frame(SETTINGS, flags=ACK)
IDS = range(1, 9, 2)
_gzip = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB = _gzip.compress(bytes(64 << 20)) + _gzip.flush()


def answered(*fields: tuple[str, str], status: str = "200", then: bytes = b"", end: bool = False) -> bytes:
    """Every call of agentk's so far is answered by such a head, and then by this DATA."""
    block = b"".join(literal(*field) for field in ((":status", status), *fields))
    return GREETING + b"".join(
        headers(i, block, end=end)
        + b"".join(frame(DATA, i, then[at : at + 16_384]) for at in range(0, len(then), 16_384))
        for i in IDS
    )


GRPC = ("content-type", "application/grpc")
WORDS: dict[str, bytes] = {
    "nothing": b"",
    "noise": bytes(range(256)) * 100,
    "HTTP/1.1": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "settings of a wrong length": frame(SETTINGS, payload=b"x"),
    "an impossible window": frame(SETTINGS, payload=b"\0\4\xff\xff\xff\xff"),
    "an impossible frame size": frame(SETTINGS, payload=b"\0\5\0\0\0\1"),
    "no calls at all": frame(SETTINGS, payload=b"\0\3\0\0\0\0"),
    "goaway at once": GREETING + frame(GOAWAY, payload=bytes(8) + b"\x1b[2J\r\nevil"),
    "every call reset": GREETING + b"".join(frame(RST, i, b"\0\0\0\2") for i in IDS),
    "pings": GREETING + frame(PING, payload=bytes(8)) * 50_000,
    "settings": GREETING + frame(SETTINGS) * 10_000,
    "a push": GREETING + frame(PUSH, 1, b"\0\0\0\2", END_HEADERS),
    "a call of kas'": GREETING + headers(2, literal(":method", "POST")),
    "continuation": GREETING + frame(HEADERS, 1, bytes(16_000)) + frame(CONTINUATION, 1, bytes(16_000)) * 50,
    "a window too wide": GREETING + frame(WINDOW, 0, b"\x7f\xff\xff\xff") * 2,
    "a frame too large": GREETING + frame(DATA, 1, bytes(20_000)),
    "data without a head": GREETING + frame(DATA, 1, bytes(100)),
    "more data than the window": GREETING + frame(DATA, 1, bytes(16_384)) * 400,
    "no gRPC": answered(("content-type", "text/html"), then=b"<h1>" * 1000),
    "a redirect": answered(("location", "http://evil.example"), status="302", end=True),
    "early hints without end": GREETING + headers(1, literal(":status", "103")) * 50_000,
    "no status": answered(GRPC, end=True),
    "an odd status": answered(GRPC, ("grpc-status", "-1"), ("grpc-message", "%1B[2J%0D%0Aevil%FF"), end=True),
    "a huge message": answered(GRPC, then=b"\0\xff\xff\xff\xff"),
    "bombs": answered(GRPC, ("grpc-encoding", "gzip"), then=b"\1" + len(BOMB).to_bytes(4) + BOMB),
    "malformed messages": answered(GRPC, then=b"\0\0\0\0\2\xff\xff"),
    "many messages": answered(GRPC, then=b"\0\0\0\0\0" * 100_000),
}


async def test_whatever_kas_says_agentk_lives_and_dials_again_with_a_back_off():
    """All of them at once, an agentk each; some go on hoping on the same connection."""
    dialled: dict[str, LoopbackServer] = {}

    def says(words: bytes) -> Callable[..., object]:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(24)
            if words.startswith(GREETING):
                writer.write(GREETING)
                await asyncio.sleep(0.3)  # until its calls are here
            writer.write(words.removeprefix(GREETING))
            while await reader.read(65536):
                pass

        return speak

    running: dict[str, Running] = {}
    with capture_logs() as logs:
        async with api_server() as api, contextlib.AsyncExitStack() as stack:
            for what, words in WORDS.items():
                server = await stack.enter_async_context(serving(says(words)))  # type: ignore[arg-type]
                dialled[what] = server
                address = f"grpc://127.0.0.1:{server.port}"
                running[what] = await stack.enter_async_context(agentk(address, api))
            await asyncio.sleep(4)
            assert not [what for what, one in running.items() if one.task.done()]
            often = {what: server.connections for what, server in dialled.items()}
            assert all(1 <= count <= 10 for count in often.values()), often
            broken = [
                "noise",
                "HTTP/1.1",
                "a push",
                "continuation",
                "pings",
                "a frame too large",
                "goaway at once",
            ]
            assert all(often[what] >= 2 for what in broken), often
        assert api.heads == []
    assert not [entry for entry in logs if entry["log_level"] in {"error", "critical"}]


async def test_it_comes_back_when_kas_behaves_again():
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        writer.write(GREETING + frame(PUSH, 1, b"\0\0\0\2", END_HEADERS))

    kas = GrpcKas()
    async with api_server() as api:
        async with serving(speak) as hostile:
            kas.port = hostile.port
            async with contextlib.AsyncExitStack() as stack:
                one = await stack.enter_async_context(agentk(f"grpc://127.0.0.1:{kas.port}", api))
                await until(lambda: hostile.connections >= 1)
                proxy = stack.pop_all()
        async with proxy, kas.serving():
            await until(lambda: len(kas.tunnels) >= 2, 15)
            assert not one.task.done()


def evil(**changes: object) -> HttpRequest:
    """A request that GitLab's kas would not send; what it says in `evil` may reach nobody."""
    head = GrpcKas().send("GET", "/version", headers={"X-Test": "1"})
    for name, value in changes.items():
        if name == "header":
            for key, said in dict(value).items():  # type: ignore[call-overload]
                head.header.request.header[key].CopyFrom(Values(value=[said]))
        elif name == "query":
            head.header.request.query["evil"].CopyFrom(Values(value=[str(value)]))
        elif name == "extra":
            head.header.extra.Pack(HeaderExtra(imp_config=value))  # type: ignore[arg-type]
        elif name == "content_length":
            head.header.content_length = int(str(value))
        else:
            setattr(head.header.request, name, value)
    return head


FORBIDDEN: dict[str, HttpRequest] = {
    "another host": evil(url_path="http://evil/version"),
    "no slash": evil(url_path="evil"),
    "an empty path": evil(url_path=""),
    "a line end in the method": evil(method="GET /evil HTTP/1.1\r\nX: "),
    "CONNECT": evil(method="CONNECT", url_path="/evil"),
    "TRACE": evil(method="TRACE", url_path="/evil"),
    "a line end in a header": evil(header={"X": "1\r\nevil: 1"}),
    "a line end in a name": evil(header={"X\r\nevil": "1"}),
    "impersonation in small letters": evil(header={"impersonate-group": "evil"}),
    "impersonation beside the request": evil(header={"Impersonate-User": "evil"}, extra={"username": "a"}),
    "a line end in whom the client names": evil(header={"Impersonate-User": "a\r\nevil: 1"}),
    "impersonation of groups without a user": evil(extra={"groups": ["evil"]}),
    "impersonation of an empty user": evil(extra={"username": "", "uid": "evil"}),
    "a line end in the user": evil(extra={"username": "a\r\nevil: 1"}),
    "a line end in a group": evil(extra={"username": "a", "groups": ["b\r\nevil: 1"]}),
    "both ways of impersonation": evil(header={"Impersonate-Uid": "evil"}, extra={"username": "a"}),
    "a negative length": evil(content_length=-7, url_path="/evil"),
    "an upgrade to evil": evil(header={"Upgrade": "evil", "Connection": "Upgrade"}),
    "a chunked body of its own": evil(header={"Transfer-Encoding": "evil"}, content_length=-5),
}
DROPPED: dict[str, HttpRequest] = {
    "a token": evil(header={"Authorization": "Bearer evil"}),
    "a host": evil(header={"Host": "evil"}),
    "a length": evil(header={"Content-Length": "5evil"}),
    "cookies": evil(header={"Cookie": "evil"}),
    "a proxy's token": evil(header={"Proxy-Authorization": "evil"}),
    "hop by hop": evil(header={"Connection": "X-Evil", "X-Evil": "evil"}),
    "who it was": evil(header={"X-Remote-User": "evil", "X-Forwarded-For": "evil"}),
}
"""Sent without that."""
ENCODED: dict[str, tuple[HttpRequest, str]] = {
    "a line end in the query": (evil(query="\r\nevil: 1"), "GET /version?evil=%0D%0Aevil%3A+1 HTTP/1.1"),
    "a line end in the path": (evil(url_path="/a\r\nevil: 1"), "GET /a%0D%0Aevil:%201 HTTP/1.1"),
    "a request in the path": (
        evil(url_path="/a HTTP/1.1\r\n\r\nGET /evil"),
        "GET /a%20HTTP/1.1%0D%0A%0D%0AGET%20/evil HTTP/1.1",
    ),
    "a zero byte in the path": (evil(url_path="/evil\0"), "GET /evil%00 HTTP/1.1"),
    "a line end in an extra": (
        evil(extra={"username": "a", "extra": [{"key": "k\r\nevil", "val": ["v"]}]}),
        "Impersonate-Extra-k%0D%0Aevil: v",
    ),
}
"""Sent as one line of its request."""


async def test_no_request_that_is_forbidden_reaches_the_api_server():
    with capture_logs() as logs:
        async with (
            GrpcKas().serving() as kas,
            api_server() as api,
            agentk(f"grpc://127.0.0.1:{kas.port}", api) as one,
        ):
            await until(lambda: len(kas.idle) >= 2 and not one.why_not_ready)
            for what, head in FORBIDDEN.items():
                await until(lambda: kas.idle)
                async with asyncio.timeout(5):
                    got = await kas.ask(head)
                said = "".join(api.heads).lower()
                assert "evil" not in said, what
                assert got.error is not None or got.status in {400, 403, 404}, (what, got)
            for what, head in DROPPED.items():
                await until(lambda: kas.idle)
                async with asyncio.timeout(5):
                    await kas.ask(head)
                assert "evil" not in "".join(api.heads), what
            for what, (head, line) in ENCODED.items():
                await until(lambda: kas.idle)
                async with asyncio.timeout(5):
                    assert (await kas.ask(head)).status == 200, what
                assert line in api.heads[-1].split("\r\n"), what
                assert api.heads[-1].endswith("\r\n\r\n"), what
            good = await kas.ask(kas.send("GET", "/version", headers={"X-Test": "good"}, impersonate="mia"))
            assert good.status == 200
            assert "Impersonate-User: mia\r\n" in api.heads[-1]
    assert not [entry for entry in logs if entry["log_level"] in {"error", "critical"}]


@pytest.mark.parametrize(
    ("said", "body"),
    [(3, b"abcdef"), (9, b"abc"), (0, b"evil"), (1 << 62, b"abc")],
)
async def test_a_length_that_lies_ends_its_request_alone(said: int, body: bytes):
    async with GrpcKas().serving() as kas, api_server() as api, agentk(f"grpc://127.0.0.1:{kas.port}", api):
        await until(lambda: len(kas.idle) >= 2)
        tunnel = kas.idle[0]
        tunnel.used = True
        await tunnel.say(
            request_info=RequestInfo(method_name="/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest")
        )
        head = kas.send("PUT", "/api/x", content_length=said)
        for message in (
            head,
            HttpRequest(data=HttpRequest.Data(data=body)),
            HttpRequest(trailer=HttpRequest.Trailer()),
        ):
            await tunnel.say(message=Message(data=message.SerializeToString()))
        await tunnel.say(close_send=CloseSend())
        tunnel.over.set()
        await until(lambda: kas.idle)
        assert (await kas.ask(kas.send("GET", "/version", headers={"X-Test": "1"}))).status == 200
        assert not any("evil" in each for each in api.heads)


@pytest.mark.parametrize(
    "method", ["", "x", "/", "/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register", "/a/b\r\n\0"]
)
async def test_a_service_that_agentk_does_not_have_is_unimplemented(method: str):
    async with GrpcKas().serving() as kas, api_server() as api, agentk(f"grpc://127.0.0.1:{kas.port}", api):
        await until(lambda: len(kas.idle) >= 2)
        tunnel = kas.idle[0]
        tunnel.used = True
        await tunnel.say(request_info=RequestInfo(method_name=method))
        codes = []
        async with asyncio.timeout(5):
            while (word := await tunnel.read()) is not None:
                codes.append(word.error.status.code)
        assert codes[-1] == 12
        tunnel.over.set()


async def test_six_hundred_requests_at_once_make_five_hundred_tunnels_and_no_more():
    async with GrpcKas().serving() as kas, api_server() as api, agentk(f"grpc://127.0.0.1:{kas.port}", api):
        answers: list[Answer] = []
        async with asyncio.TaskGroup() as tasks:
            for _ in range(600):
                with contextlib.suppress(TimeoutError):
                    await until(lambda: kas.idle, 1)
                if not kas.idle:
                    break
                answers.append(Answer())
                tasks.create_task(
                    kas.ask(kas.send("GET", "/api/v1/pods", query={"watch": "true"}), answers[-1])
                )
                await asyncio.sleep(0)
            assert len(kas.tunnels) == len(answers) == MAX_TUNNELS
            for _ in answers:
                api.more.put_nowait(None)
        await until(lambda: len(kas.idle) >= 2)
