"""Header lists of calls, read and written."""

from __future__ import annotations

import pytest

from kasbah.wire.grpc.metadata import (
    MalformedHeadersError,
    NotGrpcError,
    RequestHeaders,
    http_answer,
    read_request,
    read_response,
    read_trailers,
    response_headers,
    trailers,
)
from kasbah.wire.rpc import RpcError, StatusCode

PSEUDO = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b":authority", b"wss:%2F%2Fkas"),
]
GRPC = [*PSEUDO, (b"content-type", b"application/grpc"), (b"te", b"trailers")]
LIMIT = 16 * 1024


def test_a_request_is_its_path_and_its_metadata():
    request = read_request(
        [
            *GRPC,
            (b"authorization", b"Bearer x"),
            (b"k", b"1"),
            (b"grpc-timeout", b"1S"),
            (b"k", "ö".encode()),
        ],
        LIMIT,
    )
    assert request.path == "/a.B/C"
    assert request.metadata == (("authorization", "Bearer x"), ("k", "1"), ("k", "ö"))
    assert not request.gzip


def test_what_we_write_is_what_we_read():
    headers = RequestHeaders("kas", "https", "gitlab-agent/1", gzip=True).of("/a.B/C", (("k", "1"),))
    request = read_request(headers, LIMIT)
    assert (request.path, request.gzip) == ("/a.B/C", True)
    assert request.metadata == (("user-agent", "gitlab-agent/1"), ("k", "1"))


@pytest.mark.parametrize("name", [b"some-bin", b"grpc-trace-bin", b"grpc-internal", b"content-length"])
def test_what_is_grpcs_or_binary_is_not_handed_out(name):
    assert read_request([*GRPC, (name, b"\xff\xfe")], LIMIT).metadata == ()


def test_a_value_that_is_not_utf_8_is_dropped():
    assert read_request([*GRPC, (b"k", b"\xff\xfe"), (b"l", b"1")], LIMIT).metadata == (("l", "1"),)


@pytest.mark.parametrize(
    "headers",
    [
        GRPC[1:],
        GRPC[:2] + GRPC[3:],
        [*PSEUDO, *GRPC],
        [*GRPC, (b":path", b"/x")],
        [*GRPC[4:], *PSEUDO],
        [(b":status", b"200"), *GRPC],
        [*GRPC, (b"Upper", b"x")],
        [*GRPC, (b"", b"x")],
        [*GRPC, (b"sp ace", b"x")],
        [*GRPC, (b"k" * 300, b"x")],
        [*GRPC, (b"connection", b"close")],
        [*GRPC, (b"transfer-encoding", b"chunked")],
        [*GRPC, (b"k", b"a\r\nb")],
        [*GRPC, (b"k", b"a\0b")],
    ],
)
def test_what_http_2_forbids_is_malformed(headers):
    with pytest.raises(MalformedHeadersError):
        read_request(headers, LIMIT)


@pytest.mark.parametrize("value", [b"application/json", b"application/grpc-web", b""])
def test_who_does_not_speak_grpc_hears_it_in_http(value):
    with pytest.raises(NotGrpcError) as error:
        read_request([*PSEUDO, (b"content-type", value)], LIMIT)
    assert error.value.status == 415


@pytest.mark.parametrize(
    "value", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"]
)
def test_the_types_that_are_grpc(value):
    assert read_request([*PSEUDO, (b"content-type", value)], LIMIT).path == "/a.B/C"


def test_only_post_is_grpc():
    with pytest.raises(NotGrpcError) as error:
        read_request([(b":method", b"GET"), *GRPC[1:]], LIMIT)
    assert error.value.status == 405


def test_too_much_metadata_fails_the_call():
    with pytest.raises(RpcError) as error:
        read_request([*GRPC, (b"k", bytes(b"x" * LIMIT))], LIMIT)
    assert error.value.code is StatusCode.RESOURCE_EXHAUSTED


def test_an_unknown_encoding_fails_the_call():
    with pytest.raises(RpcError) as error:
        read_request([*GRPC, (b"grpc-encoding", b"zstd")], LIMIT)
    assert error.value.code is StatusCode.UNIMPLEMENTED


def test_a_path_that_is_not_ascii_is_no_method():
    with pytest.raises(RpcError) as error:
        read_request([*GRPC[:2], (b":path", b"/\xff"), *GRPC[3:]], LIMIT)
    assert error.value.code is StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "pair",
    [("Upper", "x"), ("k", "a\nb"), ("some-bin", "x"), ("grpc-timeout", "1S"), ("te", "x"), (":path", "/")],
)
def test_metadata_that_cannot_be_sent_is_refused(pair):
    with pytest.raises(RpcError):
        RequestHeaders("kas", "http", "", gzip=False).of("/a.B/C", (pair,))


def test_a_head_is_read():
    response = read_response(response_headers(gzip=True))
    assert (response.http_status, response.is_grpc, response.encoding, response.status) == (
        200,
        True,
        b"gzip",
        None,
    )


def test_an_answer_of_trailers_only_is_head_and_outcome():
    headers = trailers(StatusCode.NOT_FOUND, "größe", head_sent=False)
    response = read_response(headers)
    assert (response.http_status, response.status) == (200, (StatusCode.NOT_FOUND, "größe"))
    assert (b"grpc-accept-encoding", b"identity,gzip") in headers


def test_trailers_without_a_status_tell_nothing():
    assert read_trailers([(b"x", b"y")]) is None
    assert read_trailers(trailers(StatusCode.OK, "", head_sent=True)) == (StatusCode.OK, "")


def test_an_answer_in_http():
    response = read_response(http_answer(415))
    assert (response.http_status, response.is_grpc) == (415, False)


@pytest.mark.parametrize("status", [b"", b"20", b"abc"])
def test_a_head_without_a_status_is_malformed(status):
    with pytest.raises(MalformedHeadersError):
        read_response([(b":status", status)])
