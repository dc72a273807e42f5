"""The connection's inbound window."""

from __future__ import annotations

import pytest

from kasbah.wire.grpc.frames import FLOW_CONTROL_ERROR, GrpcProtocolError
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.grpc.windows import InboundWindow

LIMITS = GrpcLimits(connection_window=1000, max_buffered_bytes=5000)


def test_it_opens_as_bytes_arrive_by_halves():
    window = InboundWindow(LIMITS)
    window.receive(499)
    assert window.take_grant() == 0
    window.receive(1)
    assert window.take_grant() == 500
    assert window.take_grant() == 0


def test_who_passes_it_breaks_the_connection():
    window = InboundWindow(LIMITS)
    window.receive(1000)
    with pytest.raises(GrpcProtocolError) as error:
        window.receive(1)
    assert error.value.code == FLOW_CONTROL_ERROR


def test_from_a_bound_on_it_opens_only_as_the_calls_are_read():
    window = InboundWindow(LIMITS)
    for _ in range(10):
        window.receive(500)
        window.hold(500, 0)
        assert window.take_grant() == 500
    window.receive(1000)
    window.hold(1000, 0)
    assert window.take_grant() == 0
    window.hold(-600, 0)
    assert window.take_grant() == 600


def test_messages_that_are_not_whole_are_bounded_apart():
    window = InboundWindow(LIMITS)
    assert window.hold(10_000, 5000)
    assert not window.hold(0, 1)
    assert window.hold(0, -1)
    assert window.held == (10_000, 5000)
