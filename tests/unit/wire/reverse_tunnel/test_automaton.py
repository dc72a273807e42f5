"""The tables have exactly the arms of the messages."""

from __future__ import annotations

import pytest

from kasbah.wire.automaton import END, START, Automaton
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import ConnectRequest, ConnectResponse
from kasbah.wire.reverse_tunnel.automaton import CONNECT_REQUEST, CONNECT_RESPONSE


@pytest.mark.parametrize(
    ("message", "table"), [(ConnectRequest, CONNECT_REQUEST), (ConnectResponse, CONNECT_RESPONSE)]
)
def test_every_arm_has_its_place(message: type[ConnectRequest | ConnectResponse], table: Automaton):
    arms = {field.name for field in message.DESCRIPTOR.oneofs_by_name["msg"].fields}
    assert set(table) == arms | {START}
    assert set().union(*table.values()) == arms | {END}


def test_where_each_stream_may_end():
    assert {arm for arm, after in CONNECT_REQUEST.items() if END in after} == {"trailer", "error"}
    assert {arm for arm, after in CONNECT_RESPONSE.items() if END in after} == set(CONNECT_RESPONSE)
