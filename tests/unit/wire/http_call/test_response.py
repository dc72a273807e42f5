"""Answers' heads, out and in."""

from __future__ import annotations

import pytest

from kasbah.wire import response_policy
from kasbah.wire.http_call import response
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpResponse as ResponseHead
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode


def message(status: int = 200, **headers: list[str]) -> bytes:
    """A header as GitLab's agentk sends it."""
    values = {name.replace("_", "-"): Values(value=value) for name, value in headers.items()}
    head = ResponseHead(status_code=status, status=f"{status} Text", header=values)
    return HttpResponse(header=HttpResponse.Header(response=head)).SerializeToString()


def test_a_head_goes_out_as_gitlab_has_it():
    carried = response.message_of(
        b"HTTP/1.1 404 Not Found\r\nETag: x\r\nWarning: a\r\nWarning: b\r\n\r\n", ""
    )
    assert carried.status == 404
    assert HttpResponse.FromString(carried.data).header.response == ResponseHead(
        status_code=404,
        status="404 Not Found",
        header={"Etag": Values(value=["x"]), "Warning": Values(value=["a", "b"])},
    )


def test_a_head_without_words_and_headers_goes_out_too():
    head = HttpResponse.FromString(response.message_of(b"HTTP/1.1 200\r\n\r\n", "").data).header.response
    assert head == ResponseHead(status_code=200, status="200")


def test_a_switch_of_protocols_names_the_protocol():
    carried = response.message_of(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "SPDY/3.1")
    assert HttpResponse.FromString(carried.data).header.response.header == {
        "Upgrade": Values(value=["SPDY/3.1"]),
        "Connection": Values(value=["upgrade"]),
    }


def test_a_head_comes_in_without_what_belongs_to_one_connection():
    carried = response.head_of(
        message(
            Content_Type=["application/json"],
            Content_Length=["12"],
            Connection=["x-mine"],
            X_Mine=["1"],
            Transfer_Encoding=["chunked"],
        )
    )
    assert carried.data == b"HTTP/1.1 200 \r\nContent-Length: 12\r\nContent-Type: application/json\r\n\r\n"
    admitted = response_policy.admit(carried.data, bodiless=False, gzip_accepted=False)
    assert (admitted.status, admitted.content_length) == (200, 12)


def test_a_switch_of_protocols_passes_the_policy():
    carried = response.head_of(message(101, Upgrade=["SPDY/3.1"], Connection=["Upgrade"]))
    assert carried.status == 101
    switch = response_policy.admit_101(carried.data, "SPDY/3.1", b"")
    assert switch is not None
    assert b"Upgrade: SPDY/3.1" in switch


REFUSED = {
    "not a message": b"\xff",
    "no arm": b"",
    "another arm": HttpResponse(trailer=HttpResponse.Trailer()).SerializeToString(),
    "no answer": HttpResponse(header=HttpResponse.Header()).SerializeToString(),
    "status 99": message(99),
    "status 1000": message(1000),
    "a negative status": message(-1),
    "a value that splits the line": message(A=["b\r\nSet-Cookie: a=b"]),
    "a name that splits the line": message(**{"A: b\r\nB": ["c"]}),
    "a head without end": message(A=["x" * 200_000]),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes):
    with pytest.raises(RpcError) as caught:
        response.head_of(raw)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("size", [10, 5000])
def test_only_small_heads_are_remembered(size: int):
    head = b"HTTP/1.1 200 OK\r\nA: " + b"x" * size + b"\r\n\r\n"
    assert (response.message_of(head, "") is response.message_of(head, "")) is (size == 10)
    raw = message(A=["x" * size])
    assert (response.head_of(raw) is response.head_of(raw)) is (size == 10)
