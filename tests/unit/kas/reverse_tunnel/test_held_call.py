"""Calls that wait until it is known who makes them."""

from __future__ import annotations

import pytest

from kasbah.kas.reverse_tunnel.held_call import HeldBytes, HeldCall
from kasbah.wire.rpc import StatusCode
from tests.doubles.recording_call import RecordingCall, RecordingCallHandler


class Scene:
    def __init__(self, room: int = 10_000) -> None:
        self.call, self.handler = RecordingCall(), RecordingCallHandler()
        self.waiting: dict[HeldCall, None] = {}
        self.room = HeldBytes(room)
        self.held = HeldCall("/p", self.call, self.waiting, self.room)

    def answer(self) -> None:
        self.held.answer(lambda path, call: self.handler if (path, call) == ("/p", self.call) else None)


def test_what_was_said_meanwhile_is_heard_in_order():
    it = Scene()
    it.held.message_received(b"one")
    it.held.message_received(b"two")
    it.held.ended()
    assert it.waiting == {it.held: None}
    it.answer()
    assert it.handler.said == [("message", b"one"), ("message", b"two"), ("ended", None)]
    assert (it.waiting, it.room.left, it.call.taken) == ({}, 10_000, [])


def test_what_is_said_later_is_heard_at_once():
    it = Scene()
    it.answer()
    it.held.message_received(b"one")
    it.held.writable()
    it.held.ended()
    it.held.failed(StatusCode.CANCELLED, "gone")
    assert it.handler.words() == ["message", "writable", "ended", "failed"]


def test_a_refusal_ends_the_call():
    it = Scene()
    it.held.message_received(b"one")
    it.held.refuse(StatusCode.UNAUTHENTICATED, "unauthenticated")
    assert it.call.failed_with == (StatusCode.UNAUTHENTICATED, "unauthenticated")
    assert (it.waiting, it.room.left) == ({}, 10_000)


def test_who_gives_up_waits_no_more():
    it = Scene()
    it.held.message_received(b"one")
    it.held.failed(StatusCode.CANCELLED, "gone")
    assert (it.waiting, it.room.left) == ({}, 10_000)


@pytest.mark.parametrize("message", [b"x" * 500, b""])
def test_what_all_calls_together_say_is_bounded(message):
    it = Scene(room=1000)
    other = HeldCall("/q", RecordingCall(), it.waiting, it.room)
    for _ in range(10):
        if it.held in it.waiting:
            it.held.message_received(message)
        other.message_received(b"")
    assert it.call.failed_with is not None
    assert it.call.failed_with[0] is StatusCode.RESOURCE_EXHAUSTED
    assert it.room.left >= 0
