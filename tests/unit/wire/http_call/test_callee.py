"""agentk's end of an HTTP exchange: dialogues with kas, pairs with kas' end, and both through a reverse tunnel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.wire.http_call.callee import HttpCallee
from kasbah.wire.http_call.caller import open_http_call
from kasbah.wire.identity import AsAgent, AsUser
from kasbah.wire.kubernetes_api import RequestEnvelope, decode_opening, encode_envelope
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpRequest as RequestHead
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.reverse_tunnel.agent_end import AgentEnd
from kasbah.wire.reverse_tunnel.kas_end import KasEnd
from kasbah.wire.rpc import Call, CallHandler, Metadata, StatusCode
from kasbah.wire.stream import ResetCode, Stream, StreamHandler, StreamKind
from tests.doubles.call_pair import CallPair
from tests.doubles.recording_call import RecordingCall
from tests.doubles.tunnel_pair import RecordingHandler

OK = b"HTTP/1.1 200 OK\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
PATH = "/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest"


def header(length: int | None = None, upgrade: str = "") -> bytes:
    headers = {"Upgrade": Values(value=[upgrade])} if upgrade else {}
    head = RequestHead(method="POST", url_path="/x", header=headers)
    return HttpRequest(header=HttpRequest.Header(request=head, content_length=length)).SerializeToString()


ARMS = {
    "header": header(),
    "data": HttpRequest(data=HttpRequest.Data(data=b"body")).SerializeToString(),
    "trailer": HttpRequest(trailer=HttpRequest.Trailer()).SerializeToString(),
    "upgradeData": HttpRequest(upgradeData=HttpRequest.UpgradeData(data=b"typed")).SerializeToString(),
    "no arm": b"",
    "no message": b"\xff",
}


class Agent:
    """Takes streams as agentk's Kubernetes API does, and records what they say."""

    def __init__(self, *, slow: bool = False) -> None:
        self.handler = RecordingHandler(slow=slow)
        self.openings: list[bytes] = []
        self.refuse: tuple[ResetCode, str] | None = None

    def accept(self, kind: StreamKind, opening: bytes, stream: Stream) -> StreamHandler:
        assert kind is StreamKind.KUBERNETES_API
        self.openings.append(opening)
        self.handler.stream = stream
        if self.refuse is not None:
            stream.reset(*self.refuse)
        return self.handler


class Scene(Agent):
    """An exchange of which kas has said the head, on a call that nothing carries."""

    def __init__(
        self, first: bytes | None = ARMS["header"], *, slow: bool = False, agent_id: int | None = 7
    ) -> None:
        super().__init__(slow=slow)
        self.call = RecordingCall()
        self.callee = HttpCallee(self.call, self.accept, lambda: agent_id)
        if first is not None:
            self.callee.message_received(first)

    def hear(self, *arms: str) -> None:
        for arm in arms:
            self.callee.message_received(ARMS[arm])

    @property
    def said(self) -> list[str | None]:
        return [HttpResponse.FromString(message).WhichOneof("message") for message in self.call.sent]


def test_a_request_comes_in_as_a_stream_that_ends_with_its_trailer():
    scene = Scene()
    scene.hear("data", "data", "trailer")
    assert scene.handler.said == [("data", b"body"), ("data", b"body"), ("ended", None)]
    scene.callee.ended()
    assert scene.handler.words().count("ended") == 1


def test_an_answer_has_a_header_its_body_and_a_trailer_and_ends_the_call():
    scene = Scene()
    stream = scene.handler.stream
    stream.send_head(OK)
    stream.send(b"answer")
    stream.end()
    assert scene.said == ["header", "data", "trailer"]
    assert scene.call.ended
    stream.end()
    stream.send_head(OK)
    stream.reset(ResetCode.INTERNAL)
    assert stream.send(b"late")
    assert len(scene.said) == 3
    assert scene.call.failed_with is None


def test_an_answer_may_come_before_the_body():
    scene = Scene()
    scene.handler.stream.send_head(OK)
    scene.handler.stream.end()
    scene.hear("data", "trailer")
    scene.callee.ended()
    scene.callee.failed(StatusCode.CANCELLED, "")
    scene.callee.writable()
    assert scene.handler.said == []


def test_an_upgrade_becomes_a_pipe_with_its_101():
    scene = Scene(header(0, "SPDY/3.1"))
    scene.hear("trailer")
    assert scene.handler.said == []
    stream = scene.handler.stream
    stream.send_head(SWITCH)
    assert scene.said == ["header", "trailer"]
    scene.hear("upgradeData")
    stream.send(b"output")
    assert scene.said == ["header", "trailer", "upgradeData"]
    scene.callee.ended()
    assert scene.handler.said == [("data", b"typed"), ("ended", None)]
    stream.end()
    assert scene.call.ended
    assert scene.said == ["header", "trailer", "upgradeData"]


def test_a_pipe_that_the_api_server_closes_ends_the_call_and_lets_the_relay_go():
    scene = Scene(header(0, "websocket"))
    scene.hear("trailer")
    scene.handler.stream.send_head(SWITCH)
    scene.handler.stream.end()
    assert scene.call.ended
    assert scene.handler.words() == ["ended"]


def test_a_refused_upgrade_ends_like_any_answer_without_waiting_for_kas():
    scene = Scene(header(0, "websocket"))
    scene.hear("trailer")
    scene.handler.stream.send_head(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    scene.callee.ended()
    scene.handler.stream.send(b"no")
    scene.handler.stream.end()
    assert scene.said == ["header", "data", "trailer"]
    assert scene.call.ended
    assert scene.handler.words() == ["ended"]


@pytest.mark.parametrize(
    ("code", "message", "status", "text"),
    [
        (ResetCode.UPSTREAM_UNREACHABLE, "refused", StatusCode.UNAVAILABLE, "gRPC -> HTTP: refused"),
        (ResetCode.FORBIDDEN, "nested", StatusCode.PERMISSION_DENIED, "gRPC -> HTTP: nested"),
    ],
)
def test_a_reset_ends_the_call_with_its_status(code: ResetCode, message: str, status: StatusCode, text: str):
    scene = Scene()
    scene.handler.stream.reset(code, message)
    assert scene.call.failed_with == (status, text)
    scene.hear("data")
    assert scene.handler.said == []


def test_a_request_that_is_refused_as_it_comes_is_over():
    scene = Scene(None)
    scene.refuse = (ResetCode.PROTOCOL, "no")
    scene.hear("header", "data", "trailer")
    scene.callee.ended()
    assert scene.call.failed_with == (StatusCode.INVALID_ARGUMENT, "gRPC -> HTTP: no")
    assert scene.handler.said == []


def test_an_agent_that_does_not_know_itself_takes_nothing():
    scene = Scene(agent_id=None)
    assert scene.call.failed_with[0] is StatusCode.UNAVAILABLE
    assert scene.openings == []


GOOD = {
    (): {"header"},
    ("header",): {"data", "trailer"},
    ("header", "data"): {"data", "trailer"},
    ("header", "trailer"): set(),
}


@pytest.mark.parametrize(
    ("before", "wrong"), [(before, arm) for before, good in GOOD.items() for arm in ARMS if arm not in good]
)
def test_kas_that_breaks_the_order_loses_the_call_and_the_relay_hears_it(before: tuple[str, ...], wrong: str):
    scene = Scene(None)
    scene.hear(*before, wrong)
    impossible = (before, wrong) == (("header", "trailer"), "upgradeData")
    assert scene.call.failed_with[0] is (StatusCode.INTERNAL if impossible else StatusCode.INVALID_ARGUMENT)
    assert ("reset" in scene.handler.words()) is bool(before)
    heard = len(scene.handler.said)
    scene.hear("header", "data", "trailer")
    scene.callee.ended()
    scene.callee.failed(StatusCode.CANCELLED, "")
    assert len(scene.handler.said) == heard


@pytest.mark.parametrize("before", [(), ("header",), ("header", "data")])
def test_kas_may_not_stop_in_the_middle(before: tuple[str, ...]):
    scene = Scene(None)
    scene.hear(*before)
    scene.callee.ended()
    assert scene.call.failed_with[0] is StatusCode.INVALID_ARGUMENT
    assert scene.handler.words()[-1:] == ["reset"] * bool(before)


@pytest.mark.parametrize(
    ("length", "arms", "status"),
    [
        (0, ("data",), StatusCode.INTERNAL),
        (3, ("data",), StatusCode.INVALID_ARGUMENT),
        (4, ("data", "data"), StatusCode.INTERNAL),
        (8, ("data", "data"), None),
        (-1, ("data", "data"), None),
    ],
)
def test_a_body_is_as_long_as_was_said(length: int, arms: tuple[str, ...], status: StatusCode | None):
    scene = Scene(header(length))
    scene.hear(*arms)
    assert (scene.call.failed_with or (None,))[0] is status


def test_bytes_for_the_pipe_before_there_is_one_are_an_internal_error():
    scene = Scene(header(0, "websocket"))
    scene.hear("trailer", "upgradeData")
    assert scene.call.failed_with[0] is StatusCode.INTERNAL


def test_a_caller_that_gives_up_resets_the_stream():
    scene = Scene()
    scene.callee.failed(StatusCode.CANCELLED, "gone")
    assert scene.handler.said == [("reset", (ResetCode.CANCELLED, "gone"))]


@pytest.mark.parametrize("what", ["failed", "writable", "ended"])
def test_a_call_that_says_nothing_reaches_nobody(what: str):
    scene = Scene(None)
    arguments = (StatusCode.CANCELLED, "") if what == "failed" else ()
    getattr(scene.callee, what)(*arguments)
    assert scene.handler.said == []


def test_a_full_call_is_a_full_stream_and_one_that_drains_goes_on():
    scene = Scene()
    scene.call.full = True
    assert not scene.handler.stream.send(b"x")
    scene.callee.writable()
    assert scene.handler.words() == ["writable"]


def test_all_that_came_is_consumed_once_the_relay_has_taken_it():
    scene = Scene(slow=True)
    empty = HttpRequest(data=HttpRequest.Data()).SerializeToString()
    scene.hear("data", "data")
    scene.callee.message_received(empty)
    scene.hear("trailer")
    scene.handler.stream.consumed(2 * len(b"body"))
    heard = [ARMS[arm] for arm in ("header", "data", "data", "trailer")]
    assert sum(scene.call.taken) == sum(map(len, heard)) + len(empty)


@pytest.mark.parametrize("arm", [0x12, 0x22])
def test_data_in_an_odd_encoding_are_data(arm: int):
    scene = Scene(header(None, "websocket" if arm == 0x22 else ""))
    if arm == 0x22:
        scene.hear("trailer")
        scene.handler.stream.send_head(SWITCH)
    scene.callee.message_received(bytes([arm]) + b"\x88\x00\x0a\x85\x00" + b"body!")
    assert scene.handler.said[-1] == ("data", b"body!")


# As a pair with kas' end, alone and through a reverse tunnel


class Direct(Agent):
    """kas' end and agentk's on the two ends of one call."""

    def __init__(self, *, slow: bool = False) -> None:
        super().__init__(slow=slow)
        self.calls = CallPair()
        self.client = RecordingHandler()
        self.callee = HttpCallee(self.calls.answerer, self.accept, lambda: 7)
        self.calls.answerer.handler = self.callee

    def ask(self, opening: bytes) -> Stream:
        self.client.stream = stream = open_http_call(self.begin, opening, self.client)
        return stream

    def begin(self, handler: CallHandler) -> Call:
        self.calls.caller.handler = handler
        return self.calls.caller

    def settled(self) -> bool:
        """Nothing that was heard is still owed to a window."""
        self.calls.pump()
        return self.calls.caller.owed == self.calls.answerer.owed == 0


class Tunnelled(Direct):
    """The same through both ends of a reverse tunnel; agentk makes the call that carries."""

    def __init__(self, *, slow: bool = False) -> None:
        super().__init__(slow=slow)
        self.codes: list[StatusCode] = []
        self.agent_end = AgentEnd(self)
        self.kas_end = KasEnd(self.calls.answerer, self)
        self.calls.caller.handler, self.calls.answerer.handler = self.agent_end, self.kas_end
        self.agent_end.start(self.calls.caller)
        self.calls.pump()

    def begin(self, handler: CallHandler) -> Call:
        return self.kas_end.begin(PATH, handler)

    def call_opened(self, end: AgentEnd, path: str, metadata: Metadata, call: Call) -> CallHandler:
        return HttpCallee(call, self.accept, lambda: 7)

    def tunnel_ready(self, end: KasEnd) -> None: ...

    def tunnel_over(
        self, end: AgentEnd | KasEnd, code: StatusCode | None = None, message: str = "", *, used: bool = False
    ) -> None:
        if code is not None:
            self.codes.append(code)


MAKERS = pytest.mark.parametrize("make", [Direct, Tunnelled])
ENVELOPE = RequestEnvelope(agent_id=7, grant_id="", identity=AsUser(username="mia", groups=("a", "b")))
GET = encode_envelope(ENVELOPE) + b"GET /version HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n"
POST = (
    encode_envelope(ENVELOPE)
    + b"POST /x HTTP/1.1\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
)
EXEC = (
    encode_envelope(RequestEnvelope(agent_id=7, grant_id="", identity=AsAgent(), upgrade="websocket"))
    + b"GET /exec HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n"
)


@MAKERS
def test_a_request_and_its_answer_go_through(make: Callable[[], Direct]):
    pair = make()
    stream = pair.ask(GET)
    stream.end()
    pair.calls.pump()
    assert pair.openings == [GET]
    assert pair.handler.words() == ["ended"]
    agent = pair.handler.stream
    agent.send_head(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\n")
    agent.send(b"hello")
    agent.end()
    pair.calls.pump()
    assert pair.client.said == [
        ("head", b"HTTP/1.1 200 \r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\n"),
        ("data", b"hello"),
        ("ended", None),
    ]
    assert pair.settled()


@MAKERS
def test_an_exec_goes_through_both_ways(make: Callable[[], Direct]):
    pair = make()
    stream = pair.ask(EXEC)
    pair.calls.pump()
    assert pair.openings == [EXEC]
    pair.handler.stream.send_head(SWITCH)
    pair.calls.pump()
    for _ in range(3):
        stream.send(b"typed")
        pair.handler.stream.send(b"echoed")
        pair.calls.pump()
    stream.end()
    pair.calls.pump()
    pair.handler.stream.end()
    pair.calls.pump()
    assert pair.handler.words() == ["data"] * 3 + ["ended"]
    assert pair.client.words() == ["head", "data", "data", "data", "ended"]


@MAKERS
def test_a_failure_behind_the_agent_reaches_the_client_with_its_text(make: Callable[[], Direct]):
    pair = make()
    pair.ask(GET).end()
    pair.calls.pump()
    pair.handler.stream.reset(ResetCode.FORBIDDEN, "nested impersonation is not supported")
    pair.calls.pump()
    assert pair.client.said == [("reset", (ResetCode.FORBIDDEN, "nested impersonation is not supported"))]


@MAKERS
def test_a_client_that_goes_is_heard_by_the_relay(make: Callable[[], Direct]):
    pair = make()
    stream = pair.ask(GET)
    pair.calls.pump()
    pair.handler.stream.send_head(OK)
    pair.calls.pump()
    stream.reset(ResetCode.CANCELLED, "the client has gone")
    pair.calls.pump()
    assert pair.handler.said[-1] == ("reset", (ResetCode.CANCELLED, "the client has gone"))


@MAKERS
def test_a_connection_that_is_lost_is_heard_on_both_sides(make: Callable[[], Direct]):
    pair = make()
    pair.ask(GET).end()
    pair.calls.pump()
    pair.calls.lose()
    assert pair.client.said == [("reset", (ResetCode.CONNECTION_LOST, "the connection was lost"))]
    assert pair.handler.words() == ["ended", "reset"]


@MAKERS
def test_a_slow_relay_stops_the_client_and_no_window_leaks(make: Callable[..., Direct]):
    pair = make(slow=True)
    stream = pair.ask(POST)
    pair.calls.pump()
    sent = 0
    while stream.send(b"x" * 50_000):
        sent += 50_000
        pair.calls.pump()
    assert pair.handler.received < sent + 50_000 < 1_000_000
    taken = 0
    while taken < pair.handler.received:
        pair.handler.stream.consumed(pair.handler.received - taken)
        taken = pair.handler.received
        pair.calls.pump()
    assert taken == sent + 50_000
    assert "writable" in pair.client.words()
    assert pair.settled()


names = st.sampled_from(
    ["Accept", "Content-Type", "X-A", "X-B", "Www-Authenticate", "User-Agent", "Kubectl-Session"]
)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12).map(str.strip)
header_fields = st.lists(st.tuples(names, values), max_size=6).map(
    lambda fields: sorted(fields, key=lambda f: f[0])
)
bodies = st.lists(st.binary(min_size=1, max_size=70_000), max_size=4)


@given(
    fields=header_fields,
    answer_fields=header_fields,
    body=bodies,
    answer=bodies,
    status=st.sampled_from([200, 201, 204, 404, 500]),
    through=st.sampled_from([Direct, Tunnelled]),
)
def test_whatever_is_asked_and_answered_arrives_unchanged(
    fields: list[tuple[str, str]],
    answer_fields: list[tuple[str, str]],
    body: list[bytes],
    answer: list[bytes],
    status: int,
    through: Callable[[], Direct],
):
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    head = "POST /api/v1/pods?a=1&b=2 HTTP/1.1\r\n" + "".join(lines)
    head += "Accept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    pair = through()
    stream = pair.ask(encode_envelope(ENVELOPE) + head.encode())
    for data in body:
        stream.send(data)
        pair.calls.pump()
    stream.end()
    pair.calls.pump()
    envelope, heard = decode_opening(pair.openings[0])
    assert envelope == ENVELOPE
    assert sorted(heard.split(b"\r\n")) == sorted(head.encode().split(b"\r\n"))
    assert b"".join(data for word, data in pair.handler.said if word == "data") == b"".join(body)
    answer_head = f"HTTP/1.1 {status} \r\n" + "".join(f"{n}: {v}\r\n" for n, v in answer_fields) + "\r\n"
    agent = pair.handler.stream
    agent.send_head(answer_head.encode())
    for data in answer:
        agent.send(data)
    agent.end()
    pair.calls.pump()
    assert pair.client.said[0] == ("head", answer_head.encode())
    assert b"".join(data for word, data in pair.client.said if word == "data") == b"".join(answer)
    assert pair.client.words()[-1] == "ended"
    assert pair.settled()
