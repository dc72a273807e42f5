"""A request that stands in line for a busy agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kasbah.errors import PeerError
from kasbah.kas.private_api.line import InLine
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry, Waiter
from kasbah.wire.stream import ResetCode, StreamHandler
from tests.doubles.recording_stream import RecordingStream

pytestmark = pytest.mark.asyncio


class Line(TunnelRegistry):
    """Knows who stands in it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Waiter] = []

    def wait(self, agent_id: int, waiter: Waiter) -> None:
        super().wait(agent_id, waiter)
        self.waiting.append(waiter)

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None:
        super().stop_waiting(agent_id, waiter)
        if waiter in self.waiting:
            self.waiting.remove(waiter)

    def next(self) -> None:
        self.waiting.pop(0).tunnel_ready()


class Joined:
    """Who handles the request once it is taken."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def head_received(self, head: bytes) -> None:
        self.said.append(head)

    def data_received(self, data: bytes) -> None:
        self.said.append(data)

    def ended(self) -> None:
        self.said.append("ended")

    def reset(self, code: int, message: str) -> None:
        self.said.append((code, message))

    def writable(self) -> None:
        self.said.append("writable")


class Scene:
    def __init__(self, *answers: StreamHandler | PeerError | None, wait_s: float = 60) -> None:
        self.line, self.caller, self.answers = Line(), RecordingStream(head=b"not said"), list(answers)
        self.handler = InLine(self.line, 7, self.caller, self._join, wait_s)

    def _join(self) -> StreamHandler | None:
        answer = self.answers.pop(0)
        if isinstance(answer, PeerError):
            raise answer
        return answer


async def test_it_is_taken_when_a_tunnel_is_there_and_everything_passes_from_then_on():
    joined = Joined()
    scene = Scene(joined, wait_s=0)
    assert scene.caller.head == b"not said"
    scene.line.next()
    assert scene.caller.head == b""
    scene.handler.data_received(b"body")
    scene.handler.writable()
    scene.handler.ended()
    scene.handler.reset(3, "gone")
    assert joined.said == [b"body", "writable", "ended", (3, "gone")]
    await asyncio.sleep(0.01)
    assert scene.caller.reset_with is None


async def test_a_request_without_a_body_is_whole_when_it_is_taken():
    joined = Joined()
    scene = Scene(joined)
    scene.handler.ended()
    scene.line.next()
    assert joined.said == ["ended"]


async def test_who_was_too_late_stands_in_line_again():
    joined = Joined()
    scene = Scene(None, joined)
    scene.line.next()
    assert scene.caller.head == b"not said"
    scene.line.next()
    assert scene.caller.head == b""


async def test_it_is_refused_when_none_is_there_in_time():
    scene = Scene(wait_s=0)
    await asyncio.sleep(0.01)
    assert scene.caller.reset_with == (ResetCode.REFUSED, "every tunnel of this agent is in use")
    assert not scene.line.waiting


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (lambda scene: scene.handler.reset(ResetCode.CANCELLED, "gone"), None),
        (lambda scene: scene.handler.data_received(b"early"), ResetCode.PROTOCOL),
        (lambda scene: scene.line.next(), ResetCode.PROTOCOL),
    ],
    ids=["the caller has gone", "a body too early", "an opening too large"],
)
async def test_it_leaves_the_line(event: Callable[[Scene], None], code: ResetCode | None):
    scene = Scene(PeerError("too large"))
    event(scene)
    assert not scene.line.waiting
    assert (scene.caller.reset_with or (None,))[0] == code
    assert scene.caller.head == b"not said"
