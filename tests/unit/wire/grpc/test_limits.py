"""Bounds that belong together."""

from __future__ import annotations

from kasbah.wire.grpc.limits import GrpcLimits


def test_a_message_of_any_size_fits_what_may_be_half_received():
    limits = GrpcLimits()
    assert limits.max_message_bytes <= limits.max_buffered_bytes


def test_one_call_cannot_use_up_the_connections_window():
    limits = GrpcLimits()
    assert limits.stream_window * 8 <= limits.connection_window


def test_all_tunnels_of_an_agent_fit_and_some_calls_besides():
    assert GrpcLimits().max_calls >= 510
