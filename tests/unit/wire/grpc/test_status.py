"""Status codes and messages on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.wire.grpc import frames
from kasbah.wire.grpc.status import (
    decode_message,
    encode_message,
    read_status,
    status_of_http,
    status_of_reset,
)
from kasbah.wire.rpc import StatusCode


@given(st.text(max_size=300))
def test_a_message_arrives_as_it_was(message):
    encoded = encode_message(message)
    assert decode_message(encoded) == message
    assert all(0x20 <= byte < 0x7F for byte in encoded)


def test_a_message_is_percent_encoded_utf_8():
    assert encode_message("größe 100%\n") == b"gr%C3%B6%C3%9Fe 100%25%0A"


def test_wrong_percents_stay_as_they_are():
    assert decode_message(b"100% %zz %C3") == "100% %zz \N{REPLACEMENT CHARACTER}"


def test_a_long_message_is_cut():
    assert len(encode_message("x" * 10_000)) == 2048


@pytest.mark.parametrize(
    ("value", "code"), [(b"0", 0), (b"16", 16), (b"6", 2), (b"", 2), (b"99", 2), (b"x", 2)]
)
def test_a_code_without_a_name_is_unknown(value, code):
    assert read_status(value) == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, StatusCode.INTERNAL),
        (401, StatusCode.UNAUTHENTICATED),
        (403, StatusCode.PERMISSION_DENIED),
        (404, StatusCode.UNIMPLEMENTED),
        (502, StatusCode.UNAVAILABLE),
        (200, StatusCode.UNKNOWN),
        (500, StatusCode.UNKNOWN),
    ],
)
def test_what_a_proxys_answer_means(status, code):
    assert status_of_http(status) is code


@pytest.mark.parametrize(
    ("reset", "code"),
    [
        (frames.CANCEL, StatusCode.CANCELLED),
        (frames.REFUSED_STREAM, StatusCode.UNAVAILABLE),
        (frames.ENHANCE_YOUR_CALM, StatusCode.RESOURCE_EXHAUSTED),
        (frames.PROTOCOL_ERROR, StatusCode.INTERNAL),
        (frames.NO_ERROR, StatusCode.INTERNAL),
        (0xDEAD, StatusCode.INTERNAL),
    ],
)
def test_what_a_reset_means(reset, code):
    assert status_of_reset(reset) is code
