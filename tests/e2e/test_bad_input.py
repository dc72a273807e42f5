"""Bad input from every side, on real processes: a clear error, nothing changed, the process lives, memory stays bounded.

The bad clients speak raw bytes; the bad agent holds a real agent token. What each test leaves behind is looked at by
the fixtures: the same process answers, and its memory has not grown.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kasbah.wire.methods import REGISTER
from kasbah.wire.native_tunnel.frames import END, INITIAL_WINDOW, FrameType, frame
from kasbah.wire.stream import ResetCode, StreamClass, StreamKind
from kasbah.wire.websocket import binary_header
from tests.doubles.hostile_agent import Answer, HostileAgent, hostile_agent, say_nothing
from tests.e2e.world import World

pytestmark = pytest.mark.cluster

MIB = 1 << 20
GROWTH_MIB = 40
AGENTS = "/projects/ops%2Ffleet/cluster_agents"
PROXY = "/-/kubernetes-agent/k8s-proxy"
GIT = "/ops/fleet.git"
CONFIGURATION = "user_access:\n  access_as: {agent: {}}\n  projects: [{id: ops/fleet}]\n"


def resident_mib(pid: int) -> float:
    """VmRSS."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


class Pen:
    """A world and the credentials of an agent that misbehaves in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.port = world.ports["http"]
        made: Any = world.rest("POST", AGENTS, {"name": "hostile"}, expect=201)
        self.agent_id = made["id"]
        token: Any = world.rest("POST", f"{AGENTS}/{self.agent_id}/tokens", {"name": "t"}, expect=201)
        self.token = token["token"]
        self.bearer = f"pat:{self.agent_id}:{world.user_token}"
        self.file = world.directory / "work" / ".gitlab" / "agents" / "hostile" / "config.yaml"
        self.file.parent.mkdir(parents=True)
        self.push(CONFIGURATION.encode())
        with self.agent() as agent:
            agent.ask_for_configuration()
            assert agent.configured.wait(10)

    def push(self, configuration: bytes) -> None:
        """Push the hostile agent's file."""
        self.file.write_bytes(configuration)
        self.world.push_configuration(self.world.configuration)

    @contextlib.contextmanager
    def agent(self, answer: Answer = say_nothing, *, reads: bool = True) -> Iterator[HostileAgent]:
        """The hostile agent, connected and admitted."""
        with hostile_agent(self.port, self.token, answer=answer, reads=reads) as agent:
            if reads:
                assert agent.admitted.wait(10)
            else:
                wait_for(lambda: self.tunnels() == 2)
            yield agent

    def tunnels(self) -> float:
        """Tunnels that take streams, the honest agent's included."""
        return self.world.metric(self.world.up_metrics, "kasbah_kas_tunnels_ready")

    def connect(self, timeout_s: float = 15) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def say(self, data: bytes, timeout_s: float = 15) -> bytes:
        """Say this on a new connection, and everything that is answered until the server hangs up."""
        with self.connect(timeout_s) as client:
            with contextlib.suppress(OSError):
                client.sendall(data)
            return read_all(client)

    def get(self, path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
        """One well-formed request to the hostile agent's cluster."""
        lines = [f"{method} {PROXY}{path} HTTP/1.1", "Host: k", f"Authorization: Bearer {self.bearer}"]
        lines += [*headers, "Connection: close"]
        return self.say("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def good_client(self) -> float:
        """The honest agent's cluster is asked; how long that took."""
        began = time.monotonic()
        with self.world.client() as client:
            answer = client.get(
                f"{self.world.proxy}/version", headers={"Authorization": f"Bearer {self.world.bearer}"}
            )
        assert answer.status_code == 200, answer.text
        return time.monotonic() - began


def read_all(client: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(1 << 16):
            answer += data
    return answer


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def document_of(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.fixture(scope="module")
def pen(fresh_world: World) -> Iterator[Pen]:
    made = Pen(fresh_world)
    pid, before = fresh_world.up.pid, resident_mib(fresh_world.up.pid)
    yield made
    assert fresh_world.up.process is not None
    assert (fresh_world.up.process.poll(), fresh_world.up.pid) == (None, pid), fresh_world.up.tail(100)
    assert resident_mib(pid) - before < GROWTH_MIB
    assert "Traceback" not in fresh_world.up.log.read_text()


@pytest.fixture(autouse=True)
def still_serving(pen: Pen):
    """Whatever a test did: the same processes answer."""
    yield
    process = pen.world.up.process
    if process is None or process.poll() is not None:
        pytest.exit(f"kasbah up is dead; its log ends:\n{pen.world.up.tail(100)}")
    pen.good_client()


# Requests two readers could take for different things.

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: k\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Content-Length: 4\r\nContent-Length: 40",
        b"Content-Length: 4\r\nContent-Length: 4",
        b"Content-Length: 4, 4",
        b"Content-Length: +4",
        b"Content-Length: -4",
        b"Content-Length: 0x4",
        b"Content-Length: 99999999999999999999",
        b"Content-Length : 4",
        b"Content-Length:\x0b4",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding\r\n : chunked",
        b"Transfer_Encoding: chunked",
        b"X: a\r\n folded: b",
        b"X: a\nTransfer-Encoding: chunked",
        b"X: a\rTransfer-Encoding: chunked",
        b"X: a\x00b",
        b"Host: other",
        b": nameless",
        b"no colon",
        b"Expect: something",
    ],
    ids=repr,
)
def test_a_request_that_can_be_read_in_two_ways_is_refused_and_not_passed_on(pen: Pen, lines: bytes):
    with pen.agent() as agent:
        head = f"POST {PROXY}/api/v1/pods HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer {pen.bearer}\r\n"
        answer = pen.say(head.encode() + lines + b"\r\n\r\n" + b"0\r\n\r\n" + SMUGGLED)
        assert status_of(answer) in {400, 417}
        assert answer.count(b"HTTP/1.1 ") == 1
        assert agent.requests == []


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://other/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET /",
        b"CONNECT k:443 HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"G\x00T / HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /#fragment HTTP/1.1",
        b"GET /\xff HTTP/1.1",
    ],
    ids=repr,
)
def test_a_request_line_of_another_world_is_refused(pen: Pen, line: bytes):
    assert status_of(pen.say(line + b"\r\nHost: k\r\n\r\n")) in {400, 505}


@pytest.mark.parametrize(
    "body", [b"xyz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"1\r\nab\r\n", b"1;" + b"x" * 2_000_000]
)
def test_broken_chunks_end_the_request_and_the_connection(pen: Pen, body: bytes):
    with pen.agent() as agent:
        head = f"POST {PROXY}/api/v1/pods HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer {pen.bearer}\r\n"
        answer = pen.say(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"\r\n" + SMUGGLED)
        assert status_of(answer) in {400, 431}
        assert answer.count(b"HTTP/1.1 ") == 1
        wait_for(lambda: agent.resets == agent.requests)


@pytest.mark.parametrize(
    "path",
    [
        "/api/../secret",
        "/../../etc/passwd",
        "/..",
        "/api/./v1",
        "/api/%2e%2e/v1",
        "/api/%2E./v1",
        "/api/..%2fv1",
        "/api%2fv1",
        "/api%5cv1",
        "/api//v1",
        "//api",
        "/api/v1/%00",
        "/api/v1/a%0d%0aX:%20y",
        "/api/%252e%252e/v1",
        "/api/%252fv1",
        "/api;a=b/v1",
        "/api%3bv1",
        "/api/%zz",
        "/api/%",
        "/api/\\v1",
        "/api/%ff",
        "/" + "a/" * 70,
        "/api/v1/" + "a" * 2000,
    ],
)
def test_a_path_with_a_trick_is_refused_with_a_status(pen: Pen, path: str):
    with pen.agent() as agent:
        answer = pen.get(path)
        assert status_of(answer) == 400
        assert document_of(answer)["reason"] == "BadRequest"
        assert "Bad request: " in document_of(answer)["message"]
        assert agent.requests == []


@pytest.mark.parametrize(
    "path", ["/-/kubernetes-agent/k8s-proxy/../../api/v4/user", "/api/v4/../../x", "//api/v4/user"]
)
def test_a_path_with_a_trick_opens_no_other_door(pen: Pen, path: str):
    head = f"GET {path} HTTP/1.1\r\nHost: k\r\nPRIVATE-TOKEN: {pen.world.root_token}\r\nConnection: close\r\n\r\n"
    assert status_of(pen.say(head.encode())) in {400, 401, 404}


# Too much.

MEGABYTE = "a" * MIB
NEARLY_A_HEAD = "a" * 60_000


def credentials(token: str) -> list[str]:
    basic = base64.b64encode(f"u:{token}".encode()).decode()
    return [
        f"GET /api/v4/user HTTP/1.1\r\nHost: k\r\nPRIVATE-TOKEN: {token}\r\n",
        f"GET /api/v4/user HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer {token}\r\n",
        f"GET {PROXY}/version HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer pat:1:{token}\r\n",
        f"GET {GIT}/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: k\r\nAuthorization: Basic {basic}\r\n",
    ]


@pytest.mark.parametrize("index", range(4), ids=["private token", "bearer", "proxy", "git"])
def test_a_token_of_a_megabyte_is_too_large_and_a_long_one_is_wrong(pen: Pen, index: int):
    closing = "Connection: close\r\n\r\n"
    assert status_of(pen.say((credentials(MEGABYTE)[index] + closing).encode())) == 431
    assert status_of(pen.say((credentials("a" * 40_000)[index] + closing).encode())) == 401


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: k\r\nX: " + b"a" * MIB + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: k\r\n" + b"X: y\r\n" * 200_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: k\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET /" + b"a" * MIB + b" HTTP/1.1\r\nHost: k\r\n\r\n", 431),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: k\r\n\r\n", 414),
        (b"a" * 1000, 400),
        (b"\r\n" * 500_000, 400),
    ],
    ids=["header", "headers", "a hundred and one", "target", "long target", "method", "empty lines"],
)
def test_a_head_of_a_megabyte_is_refused_before_it_is_whole(pen: Pen, head: bytes, status: int):
    assert status_of(pen.say(head)) == status


def test_a_body_over_the_limit_is_refused(pen: Pen):
    with pen.agent():
        answer = pen.get("/api/v1/pods", f"Content-Length: {11 * MIB}", method="POST", body=b"a" * (11 * MIB))
    assert (status_of(answer), document_of(answer)["reason"]) == (413, "RequestEntityTooLarge")


def test_a_rest_body_over_the_limit_and_a_deep_one_are_refused(pen: Pen):
    head = f"POST /api/v4/projects HTTP/1.1\r\nHost: k\r\nPRIVATE-TOKEN: {pen.world.root_token}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n"
    large, deep = (
        b'{"name":"' + b"a" * (2 * MIB) + b'"}',
        b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    )
    assert status_of(pen.say(head.format(len(large)).encode() + large)) == 413
    assert status_of(pen.say(head.format(len(deep)).encode() + deep)) == 400


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: k\r\n\r\n", b"\x16\x03\x01" + b"\xff" * MIB, b"\0" * MIB]
)
def test_noise_at_the_tls_door_is_hung_up_on(pen: Pen, data: bytes):
    with socket.create_connection(("127.0.0.1", pen.world.ports["https"]), timeout=5) as client:
        with contextlib.suppress(OSError):
            client.sendall(data)
        assert b"HTTP/1.1" not in read_all(client)


def test_slow_and_silent_clients_are_gone_in_time_and_stop_nobody(pen: Pen):
    trust = ssl.create_default_context(cafile=pen.world.ca_file)
    half = b"GET / HTTP/1.1\r\nHost: k\r\nX: "
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pen.connect()) for _ in range(150)]
        for client in clients[50:]:
            client.sendall(half)
        https = ("127.0.0.1", pen.world.ports["https"])
        clients += [stack.enter_context(socket.create_connection(https, timeout=15)) for _ in range(50)]
        shaken = trust.wrap_socket(socket.create_connection(https, timeout=15), server_hostname="127.0.0.1")
        stack.enter_context(shaken)
        shaken.sendall(half)
        began, tricklers = time.monotonic(), clients[50:60]
        assert pen.good_client() < 1
        while time.monotonic() - began < 9:
            for client in tricklers:
                client.sendall(b"a")
            time.sleep(0.5)  # noqa: TID251 - a slow client is slow
        answers = [read_all(client) for client in [*clients, shaken]]
        assert time.monotonic() - began < 12
    assert all(status_of(answer) == 408 for answer in answers[50:150])
    assert set(answers[:50] + answers[150:200]) == {b""}
    assert status_of(answers[200]) == 408


# An agent that holds a good token and breaks every rule.


def answering(raw: bytes, body: bytes = b"") -> Answer:
    """Answer with this head and body, and end."""

    def answer(agent: HostileAgent, stream_id: int, _: bytes) -> None:
        if not body:
            agent.say(frame(FrameType.HEAD, stream_id, raw, flags=END))
            return
        agent.say(frame(FrameType.HEAD, stream_id, raw) + frame(FrameType.DATA, stream_id, body, flags=END))

    return answer


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"\x00\xff\x00 garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: no end",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\n\r\n",
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /-/kubernetes-agent/k8s-proxy/x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 000 Nothing\r\n\r\n",
        b"HTTP/1.1 1000 Much\r\n\r\n",
        b"HTTP/3.0 200 OK\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"Content-Length: 1e3\r\n\r\n",
        OK + b"Content-Encoding: br\r\n\r\n",
        OK + b"Content-Encoding: gzip\r\n\r\n",
        OK + b"X: a\r\n folded\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:20] + raw[-40:]),
)
def test_an_answer_that_is_none_is_a_bad_gateway(pen: Pen, raw: bytes):
    with pen.agent(answering(raw)):
        answer = pen.get("/version")
    assert (status_of(answer), document_of(answer)["code"]) == (502, 502)
    assert "Proxy failed to make outbound request: " in document_of(answer)["message"]
    assert b"elsewhere" not in answer


def test_headers_the_cluster_may_not_set_never_reach_the_client(pen: Pen):
    names = ["Set-Cookie", "Location", "Server", "X-Evil", "Access-Control-Allow-Origin", "WWW-Authenticate"]
    names += ["Strict-Transport-Security", "Gitlab-Unauthorized", "Transfer-Encoding2", "Link", "Refresh"]
    hostile = "".join(f"{name}: evil\r\n" for name in names).encode()
    with pen.agent(answering(OK + hostile + b"Cache-Control: public\r\nContent-Length: 2\r\n\r\n", b"{}")):
        answer = pen.get("/version")
    assert status_of(answer) == 200
    assert b"evil" not in answer
    assert b"public" not in answer
    assert answer.endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("body", [b"abcdef", b"a" * 60_000, b""], ids=["longer", "much longer", "shorter"])
def test_a_body_that_is_not_as_long_as_it_said_is_cut(pen: Pen, body: bytes):
    with pen.agent(answering(OK + b"Content-Length: 2\r\n\r\n", body)):
        answer = pen.get("/version")
        assert not answer.endswith(b"ab" + body[2:] or b"{}")
        assert len(answer.partition(b"\r\n\r\n")[2]) <= 2


def before_the_head(agent: HostileAgent, stream_id: int, _: bytes) -> None:
    agent.say(frame(FrameType.DATA, stream_id, b"abc"))


def nothing_at_all(agent: HostileAgent, stream_id: int, _: bytes) -> None:
    agent.say(frame(FrameType.DATA, stream_id, flags=END))


def a_strange_reset(agent: HostileAgent, stream_id: int, _: bytes) -> None:
    text = b"\x1b[31m\r\nX: y glpat-aaaaaaaaaaaaaaaaaaaa \xff" + b"z" * 4000
    agent.say(frame(FrameType.RESET, stream_id, text, value=2**63))


def many_interim_heads(agent: HostileAgent, stream_id: int, _: bytes) -> None:
    agent.say(frame(FrameType.HEAD, stream_id, b"HTTP/1.1 103 Early Hints\r\n\r\n") * 20_000)


@pytest.mark.parametrize("answer", [before_the_head, nothing_at_all, a_strange_reset, many_interim_heads])
def test_an_exchange_out_of_order_is_a_bad_gateway(pen: Pen, answer: Answer):
    with pen.agent(answer):
        said = pen.get("/version")
    assert status_of(said) == 502
    message = document_of(said)["message"]
    assert "glpat-" not in message
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize("accept", ["", "Sec-WebSocket-Accept: AAAA\r\n"])
def test_a_switch_nobody_can_have_meant_is_a_bad_gateway(pen: Pen, accept: str):
    head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}\r\n"
    lines = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with pen.agent(answering(head.encode())):
        answer = pen.get("/api/v1/namespaces/default/pods/a/exec?command=x", *lines)
    assert (status_of(answer), document_of(answer)["code"]) == (502, 502)


def test_one_answer_has_one_head(pen: Pen):
    def answer(agent: HostileAgent, stream_id: int, _: bytes) -> None:
        head = frame(FrameType.HEAD, stream_id, OK + b"Content-Length: 2\r\n\r\n")
        agent.say(head * 1000 + frame(FrameType.DATA, stream_id, b"{}", flags=END))

    with pen.agent(answer):
        said = pen.get("/version")
    assert (said.count(b"HTTP/1.1"), said[-2:]) == (1, b"{}")


def test_a_client_that_waits_for_an_agent_that_never_answers_may_leave(pen: Pen):
    with pen.agent() as agent:
        with pen.connect() as client:
            client.sendall(
                f"GET {PROXY}/version HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer {pen.bearer}\r\n\r\n".encode()
            )
            wait_for(lambda: agent.requests != [])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: agent.resets == agent.requests)


def test_uploads_to_an_agent_that_never_reads_are_held_back(pen: Pen):
    before = resident_mib(pen.world.up.pid)
    head = f"POST {PROXY}/api/v1/pods HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer {pen.bearer}\r\n"
    with pen.agent(reads=False), contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(pen.connect())
            client.sendall(f"{head}Content-Length: {10 * MIB}\r\n\r\n".encode())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.send(b"a" * 9 * MIB)
        pen.good_client()
        assert resident_mib(pen.world.up.pid) - before < GROWTH_MIB


@pytest.mark.parametrize(
    "ping",
    [frame(FrameType.PING, value=1), None],
    ids=["of the tunnel", "of the WebSocket"],
)
def test_pings_of_an_agent_that_never_reads_cost_no_memory(pen: Pen, ping: bytes | None):
    before = resident_mib(pen.world.up.pid)
    with pen.agent(reads=False) as agent:
        for _ in range(100):
            if ping is None:
                agent.say_raw((b"\x89\xfd\0\0\0\0" + b"p" * 125) * 4000)
            else:
                agent.say(ping * 16_000)
        pen.good_client()
        assert resident_mib(pen.world.up.pid) - before < GROWTH_MIB / 2


OPEN_CALL = bytes((StreamKind.RPC, StreamClass.WATCH))
VIOLATIONS = {
    "an unknown frame": frame(77),  # type: ignore[arg-type]
    "a stream never opened by kas": frame(FrameType.DATA, 4000, b"x"),
    "a stream never opened by itself": frame(FrameType.DATA, 4001, b"x"),
    "a stream of kas' own": frame(FrameType.OPEN, 4000, OPEN_CALL),
    "a request to the cluster": frame(FrameType.OPEN, 1, bytes((StreamKind.KUBERNETES_API, 0)) + b"x"),
    "a second greeting": frame(FrameType.HELLO, payload=b'{"version":1,"token":"x","pod_id":1}'),
    "an empty opening": frame(FrameType.OPEN, 1),
    "an id again": frame(FrameType.OPEN, 1, OPEN_CALL) + frame(FrameType.OPEN, 1, OPEN_CALL),
    "too many calls": b"".join(frame(FrameType.OPEN, n, OPEN_CALL + b"/x") for n in range(1, 1500, 2)),
    "a gap": frame(FrameType.OPEN, 1, OPEN_CALL + b"/x") + frame(FrameType.DATA, 3, b"x", value=9),
    "noise": b"\xff" * 100_000,
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=VIOLATIONS)
def test_an_agent_that_breaks_the_tunnels_rules_is_cut(pen: Pen, data: bytes):
    with pen.agent() as agent:
        agent.say(data)
        assert agent.closed.wait(5)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x85\0\0\0\0hello",
        b"\x82\x05hello",
        b"\xc2\x85\0\0\0\0hello",
        b"\x80\x85\0\0\0\0hello",
        b"\x89\xfe\x00\xff\0\0\0\0" + b"x" * 255,
        binary_header(11 * MIB, masked=True),
        b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0",
        b"\x8b\x80\0\0\0\0",
    ],
    ids=["text", "unmasked", "extension", "continuation", "long ping", "11 MiB", "endless", "unknown"],
)
def test_an_agent_that_breaks_the_websockets_rules_is_cut(pen: Pen, data: bytes):
    with pen.agent() as agent:
        agent.say_raw(data)
        assert agent.closed.wait(5)


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"{}",
        b"[" * 60_000,
        b'{"version":2,"token":"x","pod_id":1}',
        b'{"version":1,"token":7,"pod_id":1}',
        b'{"version":1,"token":"","pod_id":1}',
        b'{"version":1,"token":"a\\r\\nX: y","pod_id":1}',
        b'{"version":1,"token":"\xc3\xbc","pod_id":1}',
        b'{"version":1,"token":"\\ud800","pod_id":1}',
        b'{"version":1,"token":"' + b"a" * 60_000 + b'","pod_id":1}',
        b'{"version":1,"token":"x","pod_id":1,"window":0}',
        b'{"version":1,"token":"x","pod_id":1,"window":99999999999}',
        b'{"version":1,"token":"x","pod_id":-1e400}',
        b'{"version":1,"token":"x","pod_id":' + b"9" * 5000 + b"}",
    ],
    ids=lambda greeting: repr(greeting[-60:]),
)
def test_a_greeting_that_is_none_lets_nobody_in(pen: Pen, greeting: bytes):
    with hostile_agent(pen.port) as agent:
        agent.say(frame(FrameType.HELLO, payload=greeting))
        assert agent.closed.wait(5)
        assert not agent.admitted.is_set()


@pytest.mark.parametrize(
    "data", [b"a" * MIB, frame(FrameType.PING), frame(FrameType.OPEN, 1, OPEN_CALL), b"\0" * MIB]
)
def test_nothing_is_listened_to_before_the_greeting(pen: Pen, data: bytes):
    with hostile_agent(pen.port) as agent:
        agent.say(data)
        assert agent.closed.wait(5)


def test_a_call_of_megabytes_is_refused_and_the_others_go_on(pen: Pen):
    with pen.agent() as agent:
        first = agent.call(REGISTER.path, struct.pack("!BI", 0, 2**32 - 1), end=False)
        second = agent.call(REGISTER.path, struct.pack("!BI", 0, 4) + b"\xff" * 4)
        third = agent.call("/no.such/Method", b"")
        fourth = agent.call(REGISTER.path, struct.pack("!BI", 1, 0))
        wait_for(lambda: sorted(agent.resets) == [first, second, third, fourth])
        agent.ask_for_configuration()
        assert agent.configured.wait(10)


def test_calls_that_are_never_finished_cost_no_memory(pen: Pen):
    before = resident_mib(pen.world.up.pid)
    with pen.agent() as agent:
        for _ in range(50):
            stream_id = agent.call(REGISTER.path, struct.pack("!BI", 0, 4 * MIB - 1), end=False)
            sent = 5
            while sent < MIB:
                agent.say(frame(FrameType.DATA, stream_id, b"x" * 65_000, value=sent))
                sent += 65_000
        pen.good_client()
        assert resident_mib(pen.world.up.pid) - before < GROWTH_MIB / 2


def test_frames_for_streams_that_are_over_are_ignored(pen: Pen):
    def answer(agent: HostileAgent, stream_id: int, _: bytes) -> None:
        whole = frame(FrameType.HEAD, stream_id, OK + b"Content-Length: 2\r\n\r\n")
        whole += frame(FrameType.DATA, stream_id, b"{}", flags=END)
        agent.say(whole + frame(FrameType.DATA, stream_id, b"x", value=2) * 1000)
        agent.say(frame(FrameType.RESET, stream_id, b"x", value=ResetCode.INTERNAL))

    with pen.agent(answer) as agent:
        assert [status_of(pen.get("/version")) for _ in range(3)] == [200, 200, 200]
        assert not agent.closed.is_set()


def test_an_agent_that_sends_past_its_window_is_cut(pen: Pen):
    def answer(agent: HostileAgent, stream_id: int, _: bytes) -> None:
        agent.say(frame(FrameType.HEAD, stream_id, OK + b"\r\n"))
        for sent in range(0, 32 * MIB, 32_768):
            agent.say(frame(FrameType.DATA, stream_id, b"a" * 32_768, value=sent))

    with pen.agent(answer) as agent, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, INITIAL_WINDOW // 4)
        client.settimeout(15)
        client.connect(("127.0.0.1", pen.port))
        client.sendall(
            f"GET {PROXY}/version HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer {pen.bearer}\r\n\r\n".encode()
        )
        assert agent.closed.wait(10)
        assert not read_all(client).endswith(b"0\r\n\r\n")


def test_a_frame_that_breaks_off_ends_the_requests_under_way(pen: Pen):
    def answer(agent: HostileAgent, stream_id: int, _: bytes) -> None:
        agent.say(frame(FrameType.HEAD, stream_id, OK + b"Content-Length: 100\r\n\r\n"))
        agent.say(frame(FrameType.DATA, stream_id, b"a" * 100)[:50])
        agent.end()

    with pen.agent(answer):
        assert len(pen.get("/version").partition(b"\r\n\r\n")[2]) < 100


def test_an_agent_that_says_goodbye_with_a_strange_code_drains(pen: Pen):
    with pen.agent() as agent:
        agent.say(frame(FrameType.GOAWAY, payload=b"\xff" * 60_000, value=2**64 - 1))
        wait_for(lambda: pen.tunnels() == 1)
    with pen.agent(answering(OK + b"Content-Length: 2\r\n\r\n", b"{}")):
        assert status_of(pen.get("/version")) == 200


# Names, files and pushes.


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (AGENTS, {"name": "a" * 64}),
        (AGENTS, {"name": "Prod"}),
        (AGENTS, {"name": ".."}),
        (AGENTS, {"name": "a/../b"}),
        (AGENTS, {"name": "-a"}),
        (AGENTS, {"name": "a\n"}),
        (AGENTS, {"name": ""}),
        (AGENTS, {"name": [7]}),
        ("/projects", {"name": ".."}),
        ("/projects", {"name": "ok", "path": "a..b"}),
        ("/projects", {"name": "ok", "path": "a/b"}),
        ("/projects", {"name": "ok", "path": "../../x"}),
        ("/projects", {"name": "ok", "path": "a" * 256}),
        ("/projects", {"name": "ok", "path": "x.git"}),
        ("/projects", {"name": ["ok"]}),
        ("/groups", {"name": "ok", "path": ".."}),
        ("/groups", {"name": "ok", "path": "a\u0000b"}),
        ("/users", {"name": "ok", "email": "ok@example.com", "username": "a..b"}),
        ("/users", {"name": "ok", "email": "ok@example.com", "username": "../x"}),
        ("/users", {"name": "ok", "email": "ok@example.com", "username": "a" * 256}),
        ("/users", {"name": "ok", "email": "not one", "username": "okay"}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_name_that_breaks_the_rules_is_refused_and_nothing_is_made(
    pen: Pen, path: str, fields: dict[str, object]
):
    before = pen.world.rest("GET", f"{path}?per_page=100")
    refusal = pen.world.rest("POST", path, fields, expect=400)
    assert isinstance(refusal, dict)
    assert refusal.get("message") or refusal.get("error")
    assert pen.world.rest("GET", f"{path}?per_page=100") == before


def test_the_longest_name_of_an_agent_is_taken(pen: Pen):
    made: Any = pen.world.rest("POST", AGENTS, {"name": "a" * 63}, expect=201)
    pen.world.rest("DELETE", f"{AGENTS}/{made['id']}", expect=204)


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        (b"user_acess: {}\n", "did you mean user_access?"),
        (b"user_access: {projects: [{id: 1}]}\n", "expected a string, got a number"),
        (b"user_access: {}\nuser_access: {}\n", "user_access"),
        (b"a: &a [x]\n" + b"".join(b"b%d: [*a,*a]\n" % n for n in range(9999)), ""),
        (b"[" * 100_000, "nested deeper"),
        (b"a:\n" + b" " * 100_000 + b"b: c\n", ""),
        (b"\xff\xfe\x00", ""),
        (b"a: \x00\n", ""),
        (b"--- {}\n--- {}\n", ""),
        (b"!!python/object:os.system {}\n", ""),
        (b"#" * 10_000_000, "is larger than"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_a_configuration_that_cannot_be_used_is_named_and_the_old_one_stays(
    pen: Pen, configuration: bytes, said: str
):
    try:
        pen.push(configuration)
        with pen.agent(answering(OK + b"Content-Length: 2\r\n\r\n", b"{}")) as agent:
            call = agent.ask_for_configuration()
            wait_for(lambda: call in agent.resets)
            assert agent.reset_texts[-1].startswith("Config: ")
            assert said in agent.reset_texts[-1]
            assert status_of(pen.get("/version")) == 200
    finally:
        pen.push(CONFIGURATION.encode())


def test_a_push_over_the_limit_is_refused_and_leaves_nothing(pen: Pen, tmp_path: Path):
    world, repositories = pen.world, pen.world.data / "repositories"
    size = disk_usage(repositories)
    plain = [
        "-c",
        "core.compression=0",
        "-c",
        "pack.compression=0",
        "-c",
        "user.name=m",
        "-c",
        "user.email=m@e",
    ]
    basic = base64.b64encode(f"root:{world.root_token}".encode()).decode()
    plain += ["-c", f"http.extraHeader=Authorization: Basic {basic}", "-c", f"http.sslCAInfo={world.ca_file}"]

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *plain, *arguments],
            cwd=tmp_path,
            env=world.environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    with (tmp_path / "large").open("wb") as large:
        large.truncate(201 * MIB)
    for arguments in (["init", "-q"], ["add", "large"], ["commit", "-qm", "large"]):
        assert git(*arguments).returncode == 0
    pushed = git("push", f"{world.https}{GIT}", "HEAD:refs/heads/large")
    assert pushed.returncode != 0
    assert "200" in pushed.stderr
    assert "remote: " in pushed.stderr
    assert "large" not in git("ls-remote", f"{world.https}{GIT}").stdout
    assert disk_usage(repositories) - size < MIB


def disk_usage(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def wait_for(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    """Until the condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.02)  # noqa: TID251 - real processes, nothing to wait on
