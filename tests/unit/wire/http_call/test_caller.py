"""kas' end of an HTTP exchange, as dialogues with an agent that keeps to the rules or does not."""

from __future__ import annotations

import pytest

from kasbah.errors import PeerError
from kasbah.wire.http_call.caller import HttpCaller, open_http_call
from kasbah.wire.identity import AsAgent
from kasbah.wire.kubernetes_api import RequestEnvelope, encode_envelope
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpResponse as ResponseHead
from kasbah.wire.rpc import Call, CallHandler, StatusCode
from kasbah.wire.stream import ResetCode
from tests.doubles.recording_call import RecordingCall
from tests.doubles.tunnel_pair import RecordingHandler

HEAD = b"HTTP/1.1 200 \r\n\r\n"


def opening(upgrade: str = "", path: bytes = b"/version") -> bytes:
    envelope = RequestEnvelope(agent_id=7, grant_id="g", identity=AsAgent(), upgrade=upgrade)
    return encode_envelope(envelope) + b"GET " + path + b" HTTP/1.1\r\nContent-Length: 5\r\n\r\n"


def header(status: int) -> bytes:
    head = ResponseHead(status_code=status, status=str(status))
    return HttpResponse(header=HttpResponse.Header(response=head)).SerializeToString()


ARMS = {
    "header": header(200),
    "data": HttpResponse(data=HttpResponse.Data(data=b"body")).SerializeToString(),
    "trailer": HttpResponse(trailer=HttpResponse.Trailer()).SerializeToString(),
    "upgradeData": HttpResponse(upgradeData=HttpResponse.UpgradeData(data=b"pipe")).SerializeToString(),
    "101": header(101),
    "no arm": b"",
    "no message": b"\xff",
}


class Scene:
    """A request that has been sent on a call that nothing carries."""

    def __init__(self, upgrade: str = "", *, slow: bool = False) -> None:
        self.call = RecordingCall(answers=False)
        self.handler = RecordingHandler(slow=slow)
        self.stream = open_http_call(self.begin, opening(upgrade), self.handler)
        self.handler.stream = self.stream

    def begin(self, handler: CallHandler) -> Call:
        self.caller = handler
        return self.call

    def hear(self, *arms: str) -> None:
        for arm in arms:
            self.caller.message_received(ARMS[arm])

    @property
    def said(self) -> list[str | None]:
        return [HttpRequest.FromString(message).WhichOneof("message") for message in self.call.sent]


def test_a_request_has_a_header_its_body_and_a_trailer():
    scene = Scene()
    scene.stream.send(b"he")
    scene.stream.send(b"llo")
    scene.stream.end()
    scene.stream.end()
    assert scene.stream.send(b"late")
    assert scene.said == ["header", "data", "data", "trailer"]
    assert scene.call.ended


def test_an_answer_comes_as_head_and_data_and_ends_with_the_call():
    scene = Scene()
    scene.hear("header", "data", "data", "trailer")
    assert scene.handler.said == [("head", HEAD), ("data", b"body"), ("data", b"body")]
    scene.caller.ended()
    assert scene.handler.words()[-1] == "ended"
    scene.stream.reset(ResetCode.CANCELLED)
    assert scene.call.failed_with is None


def test_an_answer_is_read_while_the_body_is_still_being_sent():
    scene = Scene()
    scene.stream.send(b"he")
    scene.hear("header", "trailer")
    scene.caller.ended()
    assert scene.handler.words() == ["head", "ended"]
    scene.stream.send(b"llo")
    scene.stream.end()
    assert scene.said == ["header", "data"]


def test_an_upgrade_has_no_body_and_leaves_the_way_open():
    scene = Scene("SPDY/3.1")
    assert scene.said == ["header", "trailer"]
    assert not scene.call.ended
    scene.hear("101", "trailer", "upgradeData")
    scene.stream.send(b"typed")
    scene.stream.end()
    assert scene.handler.words() == ["head", "data"]
    assert scene.said == ["header", "trailer", "upgradeData"]
    assert scene.call.ended
    scene.caller.ended()
    assert scene.handler.words()[-1] == "ended"


def test_a_pipe_that_the_other_side_closes_is_ended():
    scene = Scene("websocket")
    scene.hear("101", "trailer", "upgradeData")
    scene.caller.ended()
    assert scene.handler.words() == ["head", "data", "ended"]


def test_a_refused_upgrade_is_half_closed_at_its_head_and_answered_like_any_request():
    scene = Scene("websocket")
    scene.hear("header")
    scene.stream.end()
    assert scene.call.ended
    scene.hear("data", "trailer")
    scene.caller.ended()
    assert scene.handler.words() == ["head", "data", "ended"]


GOOD = {
    (): {"header"},
    ("header",): {"data", "trailer"},
    ("header", "data"): {"data", "trailer"},
    ("header", "trailer"): set(),
}


@pytest.mark.parametrize(
    ("before", "wrong"), [(before, arm) for before, good in GOOD.items() for arm in ARMS if arm not in good]
)
def test_an_agent_that_breaks_the_order_loses_the_call_and_the_client_hears_it(
    before: tuple[str, ...], wrong: str
):
    scene = Scene()
    scene.hear(*before, wrong)
    impossible = (before, wrong) in {((), "101"), (("header", "trailer"), "upgradeData")}
    assert scene.call.failed_with[0] is (StatusCode.INTERNAL if impossible else StatusCode.INVALID_ARGUMENT)
    kind, (code, _) = scene.handler.said[-1]
    assert (kind, code) == ("reset", ResetCode.INTERNAL if impossible else ResetCode.PROTOCOL)
    heard = len(scene.handler.said)
    scene.hear("header", "data", "trailer")
    scene.caller.ended()
    scene.caller.failed(StatusCode.INTERNAL, "")
    assert len(scene.handler.said) == heard


@pytest.mark.parametrize(
    ("before", "wrong"), [(("101",), "data"), (("header", "data", "trailer"), "upgradeData")]
)
def test_bytes_of_the_wrong_kind_are_an_internal_error(before: tuple[str, ...], wrong: str):
    scene = Scene("websocket")
    scene.hear(*before, wrong)
    assert scene.call.failed_with[0] is StatusCode.INTERNAL
    assert scene.handler.said[-1][1][0] == ResetCode.INTERNAL


@pytest.mark.parametrize("before", [(), ("header",), ("header", "data"), ("101",)])
def test_an_answer_without_its_trailer_is_not_complete(before: tuple[str, ...]):
    scene = Scene("websocket")
    scene.hear(*before)
    scene.caller.ended()
    kind, (code, text) = scene.handler.said[-1]
    assert (kind, code) == ("reset", ResetCode.PROTOCOL)
    assert "the end may not follow" in text


@pytest.mark.parametrize("before", [(), ("header",), ("header", "data")])
def test_a_call_that_fails_resets_the_stream(before: tuple[str, ...]):
    scene = Scene()
    scene.hear(*before)
    scene.caller.failed(StatusCode.UNAVAILABLE, "gRPC -> HTTP: connection refused")
    assert scene.handler.said[-1] == ("reset", (ResetCode.UPSTREAM_UNREACHABLE, "connection refused"))


def test_a_client_that_gives_up_takes_the_call_along():
    scene = Scene()
    scene.stream.reset(ResetCode.CANCELLED, "the client has gone")
    scene.stream.reset(ResetCode.CANCELLED, "the client has gone")
    assert scene.call.failed_with == (StatusCode.CANCELLED, "the client has gone")
    scene.hear("header")
    scene.caller.writable()
    scene.stream.end()
    assert scene.handler.said == []
    assert scene.said == ["header"]


def test_a_full_call_is_a_full_stream_and_one_that_drains_goes_on():
    scene = Scene()
    scene.call.full = True
    assert not scene.stream.send(b"x")
    scene.caller.writable()
    assert scene.handler.words() == ["writable"]


def test_all_that_came_is_consumed_once_the_client_has_taken_it():
    scene = Scene(slow=True)
    empty = HttpResponse(data=HttpResponse.Data()).SerializeToString()
    scene.hear("header", "data", "data")
    scene.caller.message_received(empty)
    scene.hear("trailer")
    scene.stream.consumed(2 * len(b"body"))
    heard = [ARMS[arm] for arm in ("header", "data", "data", "trailer")]
    assert sum(scene.call.taken) == sum(map(len, heard)) + len(empty)
    assert scene.handler.words() == ["head", "data", "data"]


@pytest.mark.parametrize("arm", [0x12, 0x22])
def test_data_in_an_odd_encoding_are_data(arm: int):
    scene = Scene("websocket")
    scene.hear(*(["header"] if arm == 0x12 else ["101", "trailer"]))
    scene.caller.message_received(bytes([arm]) + b"\x88\x00\x0a\x85\x00" + b"body!")
    assert scene.handler.said[-1] == ("data", b"body!")


def test_a_request_that_the_wire_cannot_carry_opens_nothing():
    with pytest.raises(PeerError, match="encoded slash"):
        open_http_call(pytest.fail, opening(path=b"/a%2Fb"), RecordingHandler())


def test_the_head_of_a_request_is_its_opening():
    scene = Scene()
    scene.stream.send_head(b"another")
    assert scene.said == ["header"]
    assert isinstance(scene.caller, HttpCaller)
