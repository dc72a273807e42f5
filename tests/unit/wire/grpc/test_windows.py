"""The connection's inbound window."""

from __future__ import annotations

import pytest

from kasbah.wire.grpc.frames import FLOW_CONTROL_ERROR, GrpcProtocolError
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.grpc.windows import InboundWindow

LIMITS = GrpcLimits(connection_window=100_000, max_buffered_bytes=500_000)


def test_it_opens_as_bytes_arrive_by_halves():
    window = InboundWindow(LIMITS)
    window.receive(49_999)
    assert window.take_grant() == 0
    window.receive(1)
    assert window.take_grant() == 50_000
    assert window.take_grant() == 0


def test_who_passes_it_breaks_the_connection():
    window = InboundWindow(LIMITS)
    window.receive(100_000)
    with pytest.raises(GrpcProtocolError) as error:
        window.receive(1)
    assert error.value.code == FLOW_CONTROL_ERROR


def test_http_2_knows_no_smaller_one():
    window = InboundWindow(GrpcLimits(connection_window=1))
    window.receive(65_535)
    with pytest.raises(GrpcProtocolError):
        window.receive(1)


def test_from_a_bound_on_it_opens_only_as_the_calls_are_read():
    window = InboundWindow(LIMITS)
    for _ in range(10):
        window.receive(50_000)
        window.hold(50_000, 0)
        assert window.take_grant() == 50_000
    window.receive(100_000)
    window.hold(100_000, 0)
    assert window.take_grant() == 0
    window.hold(-60_000, 0)
    assert window.take_grant() == 60_000


def test_messages_that_are_not_whole_are_bounded_apart():
    window = InboundWindow(LIMITS)
    assert window.hold(1_000_000, 500_000)
    assert not window.hold(0, 1)
    assert window.hold(0, -1)
    assert window.held == (1_000_000, 500_000)
