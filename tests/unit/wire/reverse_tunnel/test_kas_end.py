"""kas' end of a tunnel, as dialogues with an agent that keeps to the rules or does not."""

from __future__ import annotations

import pytest

from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.info.info_pb2 import AgentDescriptor, Service
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    ConnectRequest,
    ConnectResponse,
    Descriptor,
    Error,
    Header,
    Message,
    Status,
    Trailer,
)
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.reverse_tunnel.kas_end import KasEnd
from kasbah.wire.rpc import RpcError, StatusCode
from tests.doubles.recording_call import RecordingCall, RecordingCallHandler

PATH = "/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest"
HEADER = ConnectRequest(header=Header(meta={"authorization": Values(value=["x"])})).SerializeToString()
MESSAGE = ConnectRequest(message=Message(data=b"answer")).SerializeToString()
TRAILER = ConnectRequest(trailer=Trailer()).SerializeToString()
ERROR = ConnectRequest(error=Error(status=Status(code=5, message="not here"))).SerializeToString()
ARMS = {
    "descriptor": KUBERNETES_API_DESCRIPTOR,
    "header": HEADER,
    "message": MESSAGE,
    "trailer": TRAILER,
    "error": ERROR,
    "no arm": b"",
    "no message at all": b"\xff",
    "an error without a status": ConnectRequest(error=Error()).SerializeToString(),
}


class Scene:
    """A tunnel of which the agent has said what it serves."""

    def __init__(self, *, described: bool = True, begun: bool = False) -> None:
        self.call = RecordingCall()
        self.ready: list[KasEnd] = []
        self.over: list[KasEnd] = []
        self.end = KasEnd(self.call, self)
        self.caller = RecordingCallHandler()
        if described:
            self.end.message_received(KUBERNETES_API_DESCRIPTOR)
        if begun:
            self.caller.call = self.end.begin(PATH, self.caller)
            self.call.sent.clear()

    def tunnel_ready(self, end: KasEnd) -> None:
        self.ready.append(end)

    def tunnel_over(self, end: KasEnd) -> None:
        self.over.append(end)

    def hear(self, *messages: bytes) -> None:
        for message in messages:
            self.end.message_received(message)

    @property
    def said(self) -> list[ConnectResponse]:
        return [ConnectResponse.FromString(message) for message in self.call.sent]


def test_a_tunnel_is_ready_when_the_agent_has_said_what_it_serves():
    scene = Scene(described=False)
    assert not scene.end.serves(PATH)
    scene.hear(KUBERNETES_API_DESCRIPTOR)
    assert scene.ready == [scene.end]
    assert scene.end.serves(PATH)
    assert not scene.end.serves("/gitlab.agent.kubernetes_api.rpc.KubernetesApi/WatchGraph")


def test_a_call_goes_out_as_the_agent_expects_it():
    scene = Scene()
    call = scene.end.begin(PATH, scene.caller, (("traceparent", "00-x"), ("authorization", "Bearer jwt")))
    assert call.send(b"question")
    call.end()
    info, message, close = scene.said
    assert info.request_info.method_name == PATH
    assert dict(info.request_info.meta) == {"traceparent": Values(value=["00-x"])}
    assert message.message.data == b"question"
    assert close.WhichOneof("msg") == "close_send"


def test_the_answer_comes_back_and_both_calls_end_well():
    scene = Scene(begun=True)
    scene.caller.call.end()
    scene.hear(HEADER, MESSAGE, MESSAGE, TRAILER)
    scene.end.ended()
    assert scene.caller.said == [("message", b"answer"), ("message", b"answer"), ("ended", None)]
    assert scene.call.ended
    assert scene.over == [scene.end]


def test_an_agent_that_ends_well_ends_the_call_even_before_the_caller_has_said_all():
    scene = Scene(begun=True)
    scene.hear(HEADER, TRAILER)
    scene.end.ended()
    assert scene.caller.words() == ["ended"]
    assert scene.call.ended


@pytest.mark.parametrize("before", [(), (HEADER, TRAILER), (HEADER, MESSAGE, TRAILER)])
def test_an_error_reaches_the_caller_with_code_and_text_and_the_tunnel_ends_well(before: tuple[bytes, ...]):
    scene = Scene(begun=True)
    scene.hear(*before, ERROR)
    assert scene.caller.said[-1] == ("failed", (StatusCode.NOT_FOUND, "not here"))
    assert not scene.call.ended
    scene.end.ended()
    assert scene.call.ended
    assert scene.caller.words().count("failed") == 1
    assert scene.over == [scene.end]


@pytest.mark.parametrize(("code", "told"), [(0, 2), (10, 2), (-1, 2), (16, 16), (2**31 - 1, 2)])
def test_a_status_we_do_not_know_is_unknown(code: int, told: int):
    scene = Scene(begun=True)
    scene.hear(ConnectRequest(error=Error(status=Status(code=code, message="x" * 5000))).SerializeToString())
    assert scene.caller.said == [("failed", (StatusCode(told), "x" * 1024))]


GOOD = {
    (): {"header", "error"},
    ("header",): {"message", "trailer"},
    ("header", "message"): {"message", "trailer"},
    ("header", "trailer"): {"error"},
    ("header", "message", "trailer"): {"error"},
    ("error",): set(),
    ("header", "trailer", "error"): set(),
}


@pytest.mark.parametrize(
    ("before", "wrong"), [(before, arm) for before, good in GOOD.items() for arm in ARMS if arm not in good]
)
def test_whoever_breaks_the_order_ends_the_tunnel_and_the_call_in_it(before: tuple[str, ...], wrong: str):
    scene = Scene(begun=True)
    scene.hear(*(ARMS[arm] for arm in before), ARMS[wrong])
    assert scene.call.failed_with is not None
    assert scene.call.failed_with[0] is StatusCode.INVALID_ARGUMENT
    kinds = [said for said in scene.caller.said if said[0] in {"failed", "ended"}]
    assert len(kinds) == 1
    if "error" not in before:
        assert kinds[0][1] == scene.call.failed_with
    assert scene.over == [scene.end]


@pytest.mark.parametrize(
    ("before", "allowed"),
    [*((b, False) for b in [(), ("header",), ("header", "message")]), (("error",), True)],
)
def test_an_agent_may_not_stop_in_the_middle(before: tuple[str, ...], allowed: bool):
    scene = Scene(begun=True)
    scene.hear(*(ARMS[arm] for arm in before))
    scene.end.ended()
    assert scene.call.ended is allowed
    if not allowed:
        code, text = scene.call.failed_with
        assert code is StatusCode.INVALID_ARGUMENT
        assert "the end may not follow" in text
        assert scene.caller.said[-1] == ("failed", (code, text))


@pytest.mark.parametrize("first", [arm for arm in ARMS if arm != "descriptor"])
def test_the_first_word_is_the_descriptor(first: str):
    scene = Scene(described=False)
    scene.hear(ARMS[first])
    assert scene.call.failed_with[0] is StatusCode.INVALID_ARGUMENT
    assert scene.ready == []
    assert scene.over == [scene.end]


@pytest.mark.parametrize("spoken", [HEADER, ERROR])
def test_an_agent_has_nothing_to_say_in_an_idle_tunnel(spoken: bytes):
    scene = Scene()
    scene.hear(spoken)
    assert scene.call.failed_with[0] is StatusCode.INTERNAL
    assert scene.over == [scene.end]


def test_a_descriptor_without_end_is_not_read():
    scene = Scene(described=False)
    services = [Service(name=f"service{i:060d}") for i in range(1000)]
    message = ConnectRequest(descriptor=Descriptor(agent_descriptor=AgentDescriptor(services=services)))
    scene.hear(message.SerializeToString())
    assert scene.call.failed_with[0] is StatusCode.INVALID_ARGUMENT


def test_a_caller_that_gives_up_takes_the_tunnel_along():
    scene = Scene(begun=True)
    scene.caller.call.fail(StatusCode.CANCELLED, "gone")
    assert scene.call.failed_with == (StatusCode.CANCELLED, "gone")
    assert scene.over == [scene.end]
    scene.hear(HEADER, MESSAGE)
    scene.end.ended()
    scene.end.failed(StatusCode.UNAVAILABLE, "")
    assert scene.caller.said == []
    assert scene.over == [scene.end]


def test_a_tunnel_that_is_lost_fails_the_call_in_it():
    scene = Scene(begun=True)
    scene.end.failed(StatusCode.UNAVAILABLE, "the connection was lost")
    assert scene.caller.said == [("failed", (StatusCode.UNAVAILABLE, "the connection was lost"))]
    assert scene.over == [scene.end]


def test_an_idle_tunnel_that_is_released_ends_well_without_a_word():
    scene = Scene()
    scene.end.release()
    scene.end.release()
    assert scene.call.ended
    assert scene.call.sent == []
    assert scene.over == [scene.end]


def test_a_tunnel_in_use_is_not_released():
    scene = Scene(begun=True)
    scene.end.release()
    assert not scene.call.ended


@pytest.mark.parametrize("how", ["not described", "begun", "released", "lost"])
def test_a_tunnel_carries_one_call_and_only_when_idle(how: str):
    scene = Scene(described=how != "not described", begun=how == "begun")
    if how == "released":
        scene.end.release()
    elif how == "lost":
        scene.end.failed(StatusCode.UNAVAILABLE, "")
    with pytest.raises(RpcError) as caught:
        scene.end.begin(PATH, RecordingCallHandler())
    assert caught.value.code is StatusCode.UNAVAILABLE


def test_after_the_end_of_its_call_an_agent_reaches_nobody():
    scene = Scene(begun=True)
    scene.hear(HEADER, TRAILER, ERROR, MESSAGE, HEADER)
    scene.end.ended()
    assert scene.caller.words() == ["failed"]


def test_orders_to_a_call_that_is_over_do_nothing():
    scene = Scene(begun=True)
    scene.hear(ERROR)
    call = scene.caller.call
    assert call.send(b"late")
    call.end()
    call.fail(StatusCode.CANCELLED)
    assert scene.call.sent == []
    assert scene.call.failed_with is None


def test_nothing_follows_the_word_that_the_caller_has_said_all():
    scene = Scene(begun=True)
    scene.caller.call.end()
    scene.caller.call.end()
    assert scene.caller.call.send(b"late")
    assert len(scene.call.sent) == 1


def test_a_full_tunnel_is_a_full_call_and_one_that_drains_goes_on():
    scene = Scene(begun=True)
    scene.call.full = True
    assert not scene.caller.call.send(b"x")
    scene.end.writable()
    assert scene.caller.words() == ["writable"]


def test_every_byte_that_came_is_said_to_be_consumed_once_the_caller_has_taken_it():
    scene = Scene(begun=True)
    scene.caller.slow = True
    empty = ConnectRequest(message=Message()).SerializeToString()
    messages = [HEADER, *[MESSAGE] * 5, empty, TRAILER]
    scene.hear(*messages)
    assert sum(scene.call.taken) == len(KUBERNETES_API_DESCRIPTOR) + len(HEADER) + len(empty) + len(TRAILER)
    scene.caller.call.consumed(3 * len(b"answer"))
    scene.caller.call.consumed(2 * len(b"answer"))
    assert sum(scene.call.taken) == len(KUBERNETES_API_DESCRIPTOR) + sum(map(len, messages))


def test_what_a_caller_that_is_gone_does_not_take_opens_the_window_too():
    scene = Scene(begun=True)
    scene.hear(HEADER, TRAILER)
    scene.call.taken.clear()
    scene.hear(ERROR)
    assert sum(scene.call.taken) == len(ERROR)


def test_an_idle_tunnel_has_nobody_to_tell_that_it_drains():
    scene = Scene()
    scene.end.writable()
    assert scene.caller.said == []


def test_a_caller_may_give_up_while_it_is_told_something():
    scene = Scene(begun=True)
    scene.caller.message_received = lambda message: scene.caller.call.fail(StatusCode.CANCELLED)  # type: ignore[method-assign]
    scene.hear(HEADER, MESSAGE, MESSAGE, ERROR)
    assert scene.call.failed_with == (StatusCode.CANCELLED, "the caller gave up: CANCELLED")
    assert scene.over == [scene.end]


def test_data_in_an_odd_encoding_are_data():
    scene = Scene(begun=True)
    scene.hear(HEADER, b"\x1a\x89\x00" + b"\x0a\x86\x00" + b"answer")
    assert scene.caller.said == [("message", b"answer")]
