"""What may be done so often in ten seconds."""

from __future__ import annotations

import pytest

from kasbah.wire.grpc.floods import Floods
from kasbah.wire.grpc.frames import ENHANCE_YOUR_CALM, GrpcProtocolError
from kasbah.wire.grpc.limits import GrpcLimits

LIMITS = GrpcLimits(max_resets=3, max_pings=3, max_settings=3, max_idle_frames=3)


@pytest.mark.parametrize("what", ["reset", "ping", "settings", "idle"])
def test_three_are_allowed_and_a_fourth_is_not(what):
    floods = Floods(LIMITS)
    for _ in range(3):
        getattr(floods, what)()
    with pytest.raises(GrpcProtocolError) as error:
        getattr(floods, what)()
    assert error.value.code == ENHANCE_YOUR_CALM


@pytest.mark.parametrize("what", ["reset", "ping", "settings", "idle"])
def test_after_ten_seconds_the_count_begins_anew(what):
    floods = Floods(LIMITS)
    for now in (100.0, 110.0, 120.0):
        floods.tick(now)
        getattr(floods, what)()
        getattr(floods, what)()


def test_refusals_are_counted_until_the_next_call():
    floods = Floods(LIMITS)
    for _ in range(4):
        floods.call_opened()
        floods.refused()
    with pytest.raises(GrpcProtocolError) as error:
        floods.call_opened()
    assert error.value.code == ENHANCE_YOUR_CALM


def test_what_comes_out_of_decompressors_is_bounded_for_a_while():
    floods = Floods(GrpcLimits(max_inflated_bytes=100))
    assert [floods.inflating(50) for _ in range(3)] == [True, False, False]
    floods.tick(100.0)
    assert floods.inflating(0)


def test_a_call_that_ends_excuses_what_was_under_way():
    floods = Floods(LIMITS)
    floods.call_over()
    for _ in range(3 + 32):
        floods.idle()
    with pytest.raises(GrpcProtocolError):
        floods.idle()


def test_excuses_cannot_be_saved_up():
    floods = Floods(LIMITS)
    for _ in range(1000):
        floods.call_over()
    for _ in range(3 + 32):
        floods.idle()
    with pytest.raises(GrpcProtocolError):
        floods.idle()


def test_late_headers_weigh_more_than_other_late_frames():
    floods = Floods(GrpcLimits(max_idle_frames=100))
    for _ in range(10):
        floods.late_headers()
    with pytest.raises(GrpcProtocolError):
        floods.late_headers()
