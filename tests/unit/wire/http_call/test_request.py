"""Requests' heads, out and in."""

from __future__ import annotations

import pytest

from kasbah.agentk.kubernetes_api.upstream_request import CHUNKED, Credentials, RequestBuilder
from kasbah.errors import PeerError
from kasbah.wire.http_call import request
from kasbah.wire.http_call.impersonation import extra_of, identity_of_extra
from kasbah.wire.identity import AsAgent, AsUser, Identity
from kasbah.wire.kubernetes_api import RequestEnvelope, decode_opening, encode_envelope
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpRequest as RequestHead
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode

AS_MIA = AsUser(username="mia")


def opening(head: bytes, *, upgrade: str = "", identity: Identity = AS_MIA) -> bytes:
    envelope = RequestEnvelope(agent_id=7, grant_id="g", identity=identity, upgrade=upgrade, deadline_ms=5)
    return encode_envelope(envelope) + head


def sent(head: bytes, **envelope: str) -> HttpRequest.Header:
    return HttpRequest.FromString(request.message_of(opening(head, **envelope)).message).header


def message(*, length: int | None = 0, extra: Identity = AS_MIA, **fields: object) -> bytes:
    """A header as GitLab's kas sends it."""
    headers = {name: Values(value=values) for name, values in fields.pop("header", {}).items()}
    head = RequestHead(**{"method": "GET", "url_path": "/version", **fields}, header=headers)
    header = HttpRequest.Header(request=head, extra=extra_of(extra), content_length=length)
    return HttpRequest(header=header).SerializeToString()


def received(**what: object) -> tuple[RequestEnvelope, bytes]:
    return decode_opening(request.opening_of(message(**what), 9).opening)


# Out


def test_a_head_goes_out_as_gitlab_has_it():
    header = sent(b"GET /api/v1/a%20b?b=1&a=2 HTTP/1.1\r\nACCEPT: */*\r\nuser-agent: kubectl\r\n\r\n")
    assert header.request == RequestHead(
        method="GET",
        url_path="/api/v1/a b",
        query={"a": Values(value=["2"]), "b": Values(value=["1"])},
        header={"Accept": Values(value=["*/*"]), "User-Agent": Values(value=["kubectl"])},
    )


@pytest.mark.parametrize(
    ("line", "length"), [(b"", 0), (b"Content-Length: 0\r\n", 0), (b"content-length: 12\r\n", 12)]
)
def test_the_length_is_said_in_its_own_field_nought_too(line: bytes, length: int):
    header = sent(b"POST /x HTTP/1.1\r\n" + line + b"\r\n")
    assert header.HasField("content_length")
    assert header.content_length == length
    assert not header.request.header


def test_a_length_that_is_not_known_is_minus_one():
    assert sent(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").content_length == -1


def test_an_upgrade_is_said_as_the_client_said_it():
    header = sent(b"POST /x HTTP/1.1\r\nSec-WebSocket-Key: k\r\n\r\n", upgrade="SPDY/3.1")
    assert header.request.header == {
        "Connection": Values(value=["upgrade"]),
        "Sec-Websocket-Key": Values(value=["k"]),
        "Upgrade": Values(value=["SPDY/3.1"]),
    }


def test_the_agent_itself_is_said_by_saying_nothing():
    raw = request.message_of(opening(b"GET / HTTP/1.1\r\n\r\n", identity=AsAgent())).message
    assert not HttpRequest.FromString(raw).header.HasField("extra")


def test_a_path_that_the_wire_cannot_carry_is_refused():
    with pytest.raises(PeerError, match="encoded slash"):
        request.message_of(opening(b"GET /a%2Fb HTTP/1.1\r\n\r\n"))


@pytest.mark.parametrize("size", [10, 5000])
def test_only_small_heads_are_remembered(size: int):
    once = opening(b"GET /once HTTP/1.1\r\nA: " + b"x" * size + b"\r\n\r\n")
    assert (request.message_of(once) is request.message_of(bytes(bytearray(once)))) is (size == 10)


# In


def test_a_head_comes_in_as_one_for_this_agent():
    envelope, head = received(
        method="POST",
        url_path="/api/v1/a b",
        query={"b": Values(value=["1"]), "a": Values(value=["2 3"])},
        header={"Accept": ["*/*"], "x-lower": ["1", "2"], "Accept-Encoding": ["gzip"]},
        length=3,
    )
    assert envelope == RequestEnvelope(agent_id=9, grant_id="", identity=AS_MIA)
    assert head == (
        b"POST /api/v1/a%20b?a=2+3&b=1 HTTP/1.1\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"
        b"x-lower: 1\r\nx-lower: 2\r\nContent-Length: 3\r\n\r\n"
    )


def test_a_request_that_asks_for_no_encoding_asks_for_none():
    assert received()[1] == b"GET /version HTTP/1.1\r\nAccept-Encoding: identity\r\n\r\n"


@pytest.mark.parametrize(("length", "body"), [(None, CHUNKED), (-1, CHUNKED), (0, 0), (5, 5)])
def test_the_api_server_hears_of_the_body_what_kas_said(length: int | None, body: int):
    builder = RequestBuilder(Credentials(authority="api", identity=AsAgent()))
    asked = request.opening_of(message(method="POST", length=length, header={"Content-Length": ["77"]}), 9)
    assert asked.content_length == body
    assert builder.build(asked.opening).body == body


@pytest.mark.parametrize(
    ("method", "said"), [("GET", False), ("HEAD", False), ("DELETE", False), ("POST", True), ("PATCH", True)]
)
def test_an_empty_body_is_mentioned_where_one_is_usual(method: str, said: bool):
    assert (b"Content-Length: 0\r\n" in received(method=method)[1]) is said


@pytest.mark.parametrize("token", ["websocket", "WebSocket", "SPDY/3.1", "spdy/3.1"])
def test_an_upgrade_comes_in_without_a_body(token: str):
    header = {"Upgrade": [token], "Connection": ["upgrade"], "Sec-Websocket-Key": ["k"]}
    asked = request.opening_of(message(header=header, length=None), 9)
    envelope, head = decode_opening(asked.opening)
    assert asked.upgrade == envelope.upgrade
    assert envelope.upgrade.lower() == token.lower()
    assert asked.content_length == 0
    assert head == (b"GET /version HTTP/1.1\r\nSec-Websocket-Key: k\r\nAccept-Encoding: identity\r\n\r\n")
    builder = RequestBuilder(Credentials(authority="api", identity=AsAgent()))
    assert builder.build(asked.opening).upgrade == token.lower().encode()


@pytest.mark.parametrize("upgrade", [["h2c"], ["websocket", "SPDY/3.1"], ["websocket, h2c"]])
def test_another_upgrade_is_left_to_the_last_check_to_refuse(upgrade: list[str]):
    asked = request.opening_of(message(header={"Upgrade": upgrade}), 9)
    with pytest.raises(PeerError, match="unknown upgrade"):
        RequestBuilder(Credentials(authority="api", identity=AsAgent())).build(asked.opening)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Remote-User", "Proxy-Foo"])
def test_what_only_the_agent_may_say_is_left_to_the_last_check_to_refuse(name: str):
    asked = request.opening_of(message(header={name: ["x"]}), 9)
    with pytest.raises(PeerError, match="may not carry"):
        RequestBuilder(Credentials(authority="api", identity=AsAgent())).build(asked.opening)


REFUSED = {
    "not a message": b"\xff",
    "no arm": b"",
    "another arm": HttpRequest(data=HttpRequest.Data(data=b"x")).SerializeToString(),
    "no request": HttpRequest(header=HttpRequest.Header()).SerializeToString(),
    "no method": message(method=""),
    "a method in two words": message(method="GET /x"),
    "a method that splits the line": message(method="GET\r\n"),
    "an impossible length": message(length=-2),
    "an upgrade with a body": message(header={"Upgrade": ["websocket"]}, length=5),
    "a value that splits the line": message(header={"A": ["b\r\nAuthorization: Bearer x"]}),
    "a head without end": message(header={"A": ["x" * 200_000]}),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_in_one_way_is_refused(raw: bytes):
    with pytest.raises(RpcError) as caught:
        request.opening_of(raw, 9)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("path", ["", "version", "*", "http://evil/"])
def test_a_path_that_is_none_is_left_to_the_last_check_to_refuse(path: str):
    asked = request.opening_of(message(url_path=path), 9)
    with pytest.raises(PeerError):
        RequestBuilder(Credentials(authority="api", identity=AsAgent())).build(asked.opening)


@pytest.mark.parametrize("size", [10, 5000])
def test_what_comes_in_again_is_read_once_if_it_is_small(size: int):
    once = message(header={"A": ["x" * size]})
    assert (request.opening_of(once, 9) is request.opening_of(once, 9)) is (size == 10)
    assert request.opening_of(once, 9) != request.opening_of(once, 8)


def test_whom_the_client_names_becomes_the_identity_and_leaves_the_head():
    header = {"Impersonate-User": ["alice"], "impersonate-group": ["a"], "Connection": ["Impersonate-Group"]}
    envelope, head = received(header=header, extra=AsAgent())
    assert envelope.identity == AsUser(username="alice", groups=("a",))
    assert b"mpersonate" not in head
    built = RequestBuilder(Credentials(authority="api", identity=AsAgent())).build(
        request.opening_of(message(header=header, extra=AsAgent()), 9).opening
    )
    assert built.head.endswith(b"Impersonate-User: alice\r\nImpersonate-Group: a\r\n\r\n")


def test_whom_the_client_names_beside_a_configured_identity_is_refused():
    with pytest.raises(RpcError, match="nested impersonation is not supported") as caught:
        received(header={"Impersonate-User": ["alice"]}, extra=AS_MIA)
    assert caught.value.code is StatusCode.UNAVAILABLE


def test_whom_a_client_of_ours_names_goes_out_as_gitlab_configures_it():
    header = sent(b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n")
    assert identity_of_extra(header.extra) == AS_MIA
    assert list(header.request.header) == ["Accept"]
