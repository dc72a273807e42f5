"""Messages framed as gRPC frames them."""

from __future__ import annotations

import pytest

from kasbah.wire.methods import REGISTER
from kasbah.wire.rpc import MessageReader, RpcError, StatusCode, encode_message

REQUEST = REGISTER.request(pod_id=12345)


def test_messages_come_out_whole_however_they_are_cut():
    data = encode_message(REQUEST) * 3
    reader = MessageReader()
    messages = [m for i in range(len(data)) for m in reader.receive(data[i : i + 1])]
    assert [REGISTER.request.FromString(m) for m in messages] == [REQUEST] * 3


def test_an_empty_message_is_a_message():
    assert MessageReader().receive(b"\0\0\0\0\0") == [b""]


def test_a_reader_knows_whether_it_stands_between_two_messages():
    reader = MessageReader()
    reader.receive(b"\0\0\0\0\1")
    assert not reader.is_empty
    reader.receive(b"x")
    assert reader.is_empty


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\1\0\0\0\0", StatusCode.UNIMPLEMENTED), (b"\0\xff\xff\xff\xff", StatusCode.RESOURCE_EXHAUSTED)],
)
def test_what_is_not_a_message_has_a_status(data: bytes, code: StatusCode):
    with pytest.raises(RpcError) as caught:
        MessageReader().receive(data)
    assert caught.value.code is code


def test_only_what_may_heal_is_worth_trying_again():
    assert RpcError(StatusCode.UNAVAILABLE, "").retryable
    assert not RpcError(StatusCode.UNAUTHENTICATED, "").retryable
