"""agentk's end of a tunnel, as dialogues with kas and as a pair with kas' end."""

from __future__ import annotations

import pytest

from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    CloseSend,
    ConnectRequest,
    ConnectResponse,
    Message,
    RequestInfo,
)
from kasbah.wire.reverse_tunnel.agent_end import AgentEnd
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.reverse_tunnel.kas_end import KasEnd
from kasbah.wire.rpc import Call, CallHandler, Metadata, StatusCode
from tests.doubles.call_pair import WINDOW, CallPair
from tests.doubles.recording_call import RecordingCall, RecordingCallHandler

PATH = "/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest"
INFO = ConnectResponse(
    request_info=RequestInfo(
        method_name=PATH, meta={"traceparent": Values(value=["00-x"]), "authorization": Values(value=["jwt"])}
    )
).SerializeToString()
MESSAGE = ConnectResponse(message=Message(data=b"question")).SerializeToString()
CLOSE = ConnectResponse(close_send=CloseSend()).SerializeToString()
ARMS = {"request_info": INFO, "message": MESSAGE, "close_send": CLOSE, "no arm": b"", "no message": b"\xff"}


class Pool:
    """Keeps the agent's tunnels, and answers what comes in them with a recorder."""

    def __init__(self) -> None:
        self.answerer = RecordingCallHandler()
        self.opened: list[tuple[str, Metadata]] = []
        self.over: list[tuple[StatusCode, str, bool]] = []
        self.refuse_with: StatusCode | None = None

    def call_opened(self, end: AgentEnd, path: str, metadata: Metadata, call: Call) -> CallHandler:
        self.opened.append((path, metadata))
        self.answerer.call = call
        if self.refuse_with is not None:
            call.fail(self.refuse_with, "not served here")
        return self.answerer

    def tunnel_over(self, end: AgentEnd, code: StatusCode, message: str, *, used: bool) -> None:
        self.over.append((code, message, used))


class Scene(Pool):
    """A tunnel on a call that nothing carries; the descriptor is said."""

    def __init__(self, *, used: bool = False) -> None:
        super().__init__()
        self.call = RecordingCall(answers=False)
        self.end = AgentEnd(self)
        self.end.start(self.call)
        if used:
            self.hear(INFO)
            self.call.sent.clear()

    def hear(self, *messages: bytes) -> None:
        for message in messages:
            self.end.message_received(message)

    @property
    def arms(self) -> list[str | None]:
        return [ConnectRequest.FromString(message).WhichOneof("msg") for message in self.call.sent]


def test_the_first_word_is_what_we_serve():
    scene = Scene()
    assert scene.call.sent == [KUBERNETES_API_DESCRIPTOR]


def test_a_call_comes_in_without_what_belonged_to_the_hops_before():
    scene = Scene()
    scene.hear(INFO, MESSAGE, CLOSE)
    assert scene.opened == [(PATH, (("traceparent", "00-x"),))]
    assert scene.answerer.said == [("message", b"question"), ("ended", None)]


def test_the_answer_has_a_header_before_and_a_trailer_behind_it():
    scene = Scene(used=True)
    scene.answerer.call.send(b"one")
    scene.answerer.call.send(b"two")
    scene.answerer.call.end()
    assert scene.arms == ["header", "message", "message", "trailer"]
    assert scene.call.ended
    scene.end.ended()
    assert scene.over == [(StatusCode.OK, "", True)]
    assert scene.answerer.said == []


def test_an_empty_answer_has_both_too():
    scene = Scene(used=True)
    scene.answerer.call.end()
    assert scene.arms == ["header", "trailer"]


@pytest.mark.parametrize("said", [[], [b"one"]])
def test_an_error_always_comes_behind_header_and_trailer(said: list[bytes]):
    scene = Scene(used=True)
    for message in said:
        scene.answerer.call.send(message)
    scene.answerer.call.fail(StatusCode.NOT_FOUND, "no such\udcff thing")
    assert scene.arms == ["header", *("message" for _ in said), "trailer", "error"]
    status = ConnectRequest.FromString(scene.call.sent[-1]).error.status
    assert (status.code, status.message) == (StatusCode.NOT_FOUND, "no such? thing")
    assert scene.call.ended


def test_a_call_that_is_refused_as_it_comes_is_over():
    scene = Scene()
    scene.refuse_with = StatusCode.UNIMPLEMENTED
    scene.hear(INFO, MESSAGE, CLOSE)
    assert scene.arms == ["descriptor", "header", "trailer", "error"]
    assert scene.answerer.said == []


def test_orders_to_an_answered_call_do_nothing():
    scene = Scene(used=True)
    call = scene.answerer.call
    call.end()
    assert call.send(b"late")
    call.fail(StatusCode.INTERNAL)
    call.end()
    assert scene.arms == ["header", "trailer"]


def test_what_the_caller_says_to_an_answered_call_is_dropped_and_opens_the_window():
    scene = Scene(used=True)
    scene.answerer.call.end()
    scene.call.taken.clear()
    scene.hear(MESSAGE, CLOSE)
    assert scene.answerer.said == []
    assert sum(scene.call.taken) == len(MESSAGE) + len(CLOSE)


def test_an_answer_opens_the_window_for_what_its_handler_leaves_lying():
    scene = Scene(used=True)
    scene.answerer.slow = True
    scene.call.taken.clear()
    scene.hear(MESSAGE, MESSAGE, MESSAGE)
    call = scene.answerer.call
    call.consumed(len(b"question"))
    assert sum(scene.call.taken) < 3 * len(MESSAGE)
    call.end()
    call.consumed(2 * len(b"question"))
    assert sum(scene.call.taken) == 3 * len(MESSAGE)


def test_a_tunnel_that_ends_idle_was_not_used():
    scene = Scene()
    scene.end.ended()
    assert scene.over == [(StatusCode.OK, "", False)]


@pytest.mark.parametrize("said", [(), (MESSAGE,), (MESSAGE, CLOSE)])
def test_a_tunnel_that_ends_in_the_middle_breaks_the_call_off(said: tuple[bytes, ...]):
    scene = Scene(used=True)
    scene.hear(*said)
    scene.end.ended()
    assert scene.answerer.said[-1] == ("failed", (StatusCode.CANCELLED, "kas ended the tunnel"))
    assert scene.over == [(StatusCode.OK, "", True)]


def test_a_tunnel_that_fails_takes_the_call_along():
    scene = Scene(used=True)
    scene.end.failed(StatusCode.UNAVAILABLE, "the connection was lost")
    assert scene.answerer.said == [("failed", (StatusCode.UNAVAILABLE, "the connection was lost"))]
    assert scene.over == [(StatusCode.UNAVAILABLE, "the connection was lost", True)]


GOOD = {
    (): {"request_info"},
    ("request_info",): {"message", "close_send"},
    ("request_info", "message"): {"message", "close_send"},
    ("request_info", "close_send"): set(),
}


@pytest.mark.parametrize(
    ("before", "wrong"), [(before, arm) for before, good in GOOD.items() for arm in ARMS if arm not in good]
)
def test_kas_that_breaks_the_order_loses_the_tunnel(before: tuple[str, ...], wrong: str):
    scene = Scene()
    scene.hear(*(ARMS[arm] for arm in before), ARMS[wrong])
    assert scene.call.failed_with[0] is StatusCode.INVALID_ARGUMENT
    assert [(code, used) for code, _, used in scene.over] == [(StatusCode.INVALID_ARGUMENT, bool(before))]
    assert scene.answerer.words().count("failed") == bool(before)
    scene.hear(MESSAGE)
    scene.end.ended()
    scene.end.failed(StatusCode.UNAVAILABLE, "")
    assert len(scene.over) == 1


def test_an_abandoned_tunnel_gives_up_what_it_carries():
    scene = Scene(used=True)
    scene.end.abandon("agentk is stopping")
    scene.end.abandon("agentk is stopping")
    assert scene.call.failed_with == (StatusCode.CANCELLED, "agentk is stopping")
    assert scene.answerer.words() == ["failed"]
    assert scene.over == [(StatusCode.CANCELLED, "agentk is stopping", True)]
    assert scene.answerer.call.send(b"late")


def test_a_full_tunnel_is_a_full_call_and_one_that_drains_goes_on():
    scene = Scene(used=True)
    scene.call.full = True
    assert not scene.answerer.call.send(b"x")
    scene.end.writable()
    assert scene.answerer.words() == ["writable"]


def test_an_empty_message_is_a_message():
    scene = Scene(used=True)
    scene.hear(ConnectResponse(message=Message()).SerializeToString())
    assert scene.answerer.said == [("message", b"")]


def test_an_idle_tunnel_has_nobody_to_tell_that_it_drains():
    scene = Scene()
    scene.end.writable()
    assert scene.answerer.said == []


def test_data_in_an_odd_encoding_are_data():
    scene = Scene(used=True)
    scene.hear(b"\x12\x8a\x00" + b"\x0a\x87\x00" + b"answer!")
    assert scene.answerer.said == [("message", b"answer!")]


# As a pair with kas' end


class Pair(Pool):
    """A tunnel between the two ends, idle."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = CallPair()
        self.agent_end = AgentEnd(self)
        self.kas_end = KasEnd(self.calls.answerer, _Keeper())
        self.calls.caller.handler = self.agent_end
        self.calls.answerer.handler = self.kas_end
        self.agent_end.start(self.calls.caller)
        self.calls.pump()
        self.caller = RecordingCallHandler()

    def begin(self) -> Call:
        self.caller.call = self.kas_end.begin(PATH, self.caller)
        self.calls.pump()
        return self.caller.call


class _Keeper:
    def tunnel_ready(self, end: KasEnd) -> None: ...

    def tunnel_over(self, end: KasEnd) -> None: ...


def test_a_call_goes_through_both_ends_and_back():
    pair = Pair()
    call = pair.begin()
    call.send(b"question")
    call.end()
    pair.calls.pump()
    assert pair.answerer.said == [("message", b"question"), ("ended", None)]
    pair.answerer.call.send(b"answer")
    pair.answerer.call.end()
    pair.calls.pump()
    assert pair.caller.said == [("message", b"answer"), ("ended", None)]
    assert pair.over == [(StatusCode.OK, "", True)]


def test_an_upload_that_is_not_read_does_not_outlive_the_answer():
    pair = Pair()
    call = pair.begin()
    pair.calls.caller.owed = WINDOW
    call.send(b"x" * WINDOW)
    pair.answerer.call.end()
    pair.calls.pump()
    assert pair.caller.said == [("ended", None)]
    assert [kind for kind, *_ in pair.calls.answerer.queue] == []
    assert pair.over == [(StatusCode.OK, "", True)]


def test_a_status_goes_through_both_ends():
    pair = Pair()
    pair.begin()
    pair.answerer.call.fail(StatusCode.PERMISSION_DENIED, "no")
    pair.calls.pump()
    assert pair.caller.said == [("failed", (StatusCode.PERMISSION_DENIED, "no"))]
    assert pair.over == [(StatusCode.OK, "", True)]


def test_a_caller_that_gives_up_is_heard_at_the_other_end():
    pair = Pair()
    pair.begin().fail(StatusCode.CANCELLED, "gone")
    pair.calls.pump()
    assert pair.answerer.words() == ["failed"]
    assert pair.over == [(StatusCode.CANCELLED, "gone", True)]


def test_a_slow_reader_stops_the_writer_at_the_other_end_and_no_window_leaks():
    pair = Pair()
    pair.caller.slow = True
    call = pair.begin()
    sent = 0
    while pair.answerer.call.send(b"x" * 32768):
        sent += 32768
        pair.calls.pump()
    sent += 32768
    pair.calls.pump()
    assert WINDOW <= sent <= 3 * WINDOW
    received = 0
    while "writable" not in pair.answerer.words():
        for _, data in pair.caller.said[received:]:
            call.consumed(len(data))
            received += 1
        assert pair.calls.pump()
    for _, data in pair.caller.said[received:]:
        call.consumed(len(data))
    assert pair.calls.answerer.owed == 0
