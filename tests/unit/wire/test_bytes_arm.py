"""Arms that hold bytes, beside what protobuf says about them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.wire import bytes_arm
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import ConnectRequest, Message

TAG = bytes_arm.tag(ConnectRequest.MESSAGE_FIELD_NUMBER)
# Around each place where a length grows by a byte.
SIZES = [0, 1, 3, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 16376, 16377, 16378, 16379, 16380, 16381]
SIZES += [16382, 16383, 16384, 32768, 2097144, 2097150, 2097152, 2100000]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_wrapped_is_what_protobuf_would_write(size: int):
    data = b"x" * size
    wrapped = bytes_arm.wrap(TAG, data)
    assert ConnectRequest.FromString(wrapped) == ConnectRequest(message=Message(data=data))
    if data:
        assert wrapped == ConnectRequest(message=Message(data=data)).SerializeToString()


@pytest.mark.parametrize("size", SIZES[:-4])
def test_what_is_wrapped_comes_out_again(size: int):
    assert bytes_arm.unwrap(TAG, bytes_arm.wrap(TAG, b"x" * size)) == b"x" * size


def test_what_is_longer_than_any_chunk_is_left_to_protobuf():
    assert bytes_arm.unwrap(TAG, bytes_arm.wrap(TAG, b"x" * 2097152)) is None


@given(st.binary(max_size=300))
def test_any_other_bytes_are_left_alone(message: bytes):
    data = bytes_arm.unwrap(TAG, message)
    if data is not None:
        assert ConnectRequest.FromString(message).message.data == data


@given(st.binary(max_size=400), st.integers(0, 12), st.binary(min_size=1, max_size=3))
def test_a_damaged_message_is_read_as_protobuf_reads_it_or_not_at_all(data: bytes, at: int, damage: bytes):
    wrapped = bytes_arm.wrap(TAG, data)
    damaged = wrapped[:at] + damage + wrapped[at + len(damage) :]
    if (found := bytes_arm.unwrap(TAG, damaged)) is not None:
        assert ConnectRequest.FromString(damaged).message.data == found


@pytest.mark.parametrize("size", [1, 300])
def test_another_arm_is_not_this_one(size: int):
    assert bytes_arm.unwrap(TAG, bytes_arm.wrap(bytes_arm.tag(2), b"x" * size)) is None
