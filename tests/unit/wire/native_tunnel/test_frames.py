"""The bytes of `kasbah.v1` are a contract: old agents speak them."""

from __future__ import annotations

import msgspec

from kasbah.wire.native_tunnel.frames import END, HEADER, AgentHello, FrameType, KasHello, frame


def test_the_header_is_sixteen_bytes_in_network_order():
    assert HEADER.size == 16
    assert frame(FrameType.DATA, 0x01020304, b"hi", flags=END, value=5).hex() == (
        "010203040002040100000000000000056869"
    )


def test_frame_types_never_change():
    assert [kind.value for kind in FrameType] == list(range(1, 11))


def test_greetings_are_json_so_that_either_side_may_learn_new_keys():
    hello = msgspec.json.decode(b'{"version":1,"token":"t","pod_id":9,"new":true}', type=AgentHello)
    assert (hello.token, hello.pod_id) == ("t", 9)
    assert msgspec.json.decode(msgspec.json.encode(KasHello(agent_id=3)), type=KasHello).agent_id == 3
