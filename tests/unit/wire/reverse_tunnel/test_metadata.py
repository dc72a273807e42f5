"""Metadata in tunnels: a trace passes, credentials and the hop's own keys do not."""

from __future__ import annotations

import pytest

from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.reverse_tunnel.metadata import forwarded, replayed


def test_an_agent_learns_where_a_call_stands_in_a_trace_and_nothing_else():
    metadata = (
        ("traceparent", "00-x"),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("authorization", "Bearer jwt"),
        ("kas-hop-routing-agent-id", "7"),
        ("user-agent", "kas"),
        ("x-request-id", "1"),
    )
    assert forwarded(metadata) == {
        "traceparent": Values(value=["00-x"]),
        "tracestate": Values(value=["a=1", "b=2"]),
    }


@pytest.mark.parametrize("value", ["x" * 513, "\udcff", "é"])
def test_a_trace_that_is_none_stays_here(value: str):
    assert forwarded((("traceparent", value),)) == {}


def test_what_belonged_to_the_hops_before_is_ignored_by_the_agent():
    meta = {
        key: Values(value=["v"])
        for key in (
            ":authority",
            "Authorization",
            "content-type",
            "grpc-timeout",
            "kas-hop-routing-agent-id",
            "te",
            "token-bin",
            "user-agent",
        )
    }
    meta["traceparent"] = Values(value=["00-x", "00-y"])
    assert replayed(meta) == (("traceparent", "00-x"), ("traceparent", "00-y"))


def test_the_agent_keeps_a_bounded_number():
    assert len(replayed({"x": Values(value=["v"] * 1000)})) == 64
