"""One connection lets each call in by its token; the rest is in `test_server`."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.internal_api.connection import STRANGERS_REFUSALS, InternalApiConnection
from kasbah.kit.jwt import JwtError
from kasbah.wire.rpc import Call, CallHandler, Metadata, StatusCode
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.recording_call import RecordingCall, RecordingCallHandler

pytestmark = pytest.mark.asyncio


class Owner:
    """Takes a call that shows anything."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def check_caller(self, metadata: Metadata) -> None:
        if not metadata:
            raise JwtError("nothing is shown")

    def answer(self, path: str, _call: Call, _connection: InternalApiConnection) -> CallHandler:
        self.events.append(path)
        return RecordingCallHandler()

    def lost(self, _connection: InternalApiConnection) -> None:
        self.events.append("lost")


async def test_the_first_call_that_is_let_in_makes_it_known_once():
    owner = Owner()
    connection = InternalApiConnection(
        owner, FakeTransport(), peer="192.0.2.7", known=lambda: owner.events.append("known")
    )
    refused = RecordingCall()
    connection.call_opened("/a", (), refused)
    assert refused.failed_with == (StatusCode.UNAUTHENTICATED, "JWT validation failed")
    connection.call_opened("/b", (("authorization", "x"),), RecordingCall())
    connection.call_opened("/c", (("authorization", "x"),), RecordingCall())
    connection.going_away()
    connection.connection_lost(None)
    await asyncio.sleep(0)
    assert owner.events == ["known", "/b", "/c", "lost"]


async def test_a_stranger_may_be_refused_less_often_than_a_caller():
    connection = InternalApiConnection(Owner(), FakeTransport(), peer="192.0.2.7")
    assert connection.engine.limits.max_resets == STRANGERS_REFUSALS
    connection.call_opened("/b", (("authorization", "x"),), RecordingCall())
    assert connection.engine.limits.max_resets > STRANGERS_REFUSALS
