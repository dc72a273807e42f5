from __future__ import annotations

import pytest

from kasbah.agentk.kubernetes_api.upstream_request import (
    CHUNKED,
    NESTED_IMPERSONATION,
    Credentials,
    RefusedRequestError,
    RequestBuilder,
)
from kasbah.kit.secrets import Secret
from kasbah.wire.identity import AsAgent, AsUser, Identity
from kasbah.wire.kubernetes_api import RequestEnvelope, encode_envelope, split_stamp, stamped
from kasbah.wire.stream import ResetCode

ALICE = AsUser(
    username="gitlab:user:alice", groups=("gitlab:user",), extra=(("agent.gitlab.com/id", ("7",)),)
)


def opening(*lines: str, identity: Identity | None = None, upgrade: str = "", deadline_ms: int = 0) -> bytes:
    envelope = RequestEnvelope(
        agent_id=7, grant_id="g", identity=identity or AsAgent(), upgrade=upgrade, deadline_ms=deadline_ms
    )
    return encode_envelope(envelope) + "\r\n".join([*lines, "", ""]).encode("latin-1")


def builder(identity: Identity | None = None, authorization: Secret | None = None) -> RequestBuilder:
    return RequestBuilder(
        Credentials(
            authority="api:6443",
            base_path="/base",
            authorization=authorization,
            identity=identity or AsAgent(),
        )
    )


def refusal(*lines: str, identity: Identity | None = None, upgrade: str = "") -> RefusedRequestError:
    with pytest.raises(RefusedRequestError) as caught:
        builder().build(opening(*lines, identity=identity, upgrade=upgrade))
    return caught.value


def test_what_agentk_adds_stands_around_the_cleaned_head_and_the_identity_last():
    made = builder(authorization=Secret("Bearer t")).build(
        opening("GET /api?a=b%20c HTTP/1.1", "Accept: application/json", identity=ALICE)
    )
    assert made.head.decode().split("\r\n") == [
        "GET /base/api?a=b%20c HTTP/1.1",
        "Host: api:6443",
        "Accept: application/json",
        "Authorization: Bearer t",
        "Impersonate-User: gitlab:user:alice",
        "Impersonate-Group: gitlab:user",
        "Impersonate-Extra-agent.gitlab.com%2Fid: 7",
        "",
        "",
    ]


def test_without_credentials_and_identity_nothing_is_added_but_the_host():
    made = builder().build(opening("GET / HTTP/1.1"))
    assert made.head == b"GET /base/ HTTP/1.1\r\nHost: api:6443\r\n\r\n"
    assert (made.agent_id, made.body, made.upgrade, made.deadline_s) == (7, 0, b"", 0)


def test_an_upgrade_is_said_by_agentk():
    made = builder().build(opening("GET /exec HTTP/1.1", "Sec-WebSocket-Version: 13", upgrade="websocket"))
    assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in made.head
    assert made.upgrade == b"websocket"
    assert not made.repeatable


@pytest.mark.parametrize(
    ("lines", "body", "repeatable"),
    [
        (("GET / HTTP/1.1",), 0, True),
        (("GET / HTTP/1.1", "Content-Length: 3"), 3, False),
        (("POST / HTTP/1.1", "Content-Length: 0"), 0, False),
        (("PATCH / HTTP/1.1", "Transfer-Encoding: chunked"), CHUNKED, False),
    ],
)
def test_the_body_is_known_and_only_bodiless_reads_are_repeatable(
    lines: tuple[str, ...], body: int, repeatable: bool
):
    made = builder().build(opening(*lines))
    assert (made.body, made.repeatable) == (body, repeatable)


def test_head_has_no_body_in_its_answer_and_deadlines_are_seconds():
    made = builder().build(opening("HEAD / HTTP/1.1", deadline_ms=1500))
    assert made.bodiless_answer
    assert made.deadline_s == 1.5


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_are_no_exchanges_are_forbidden(method: str):
    assert refusal(f"{method} /api HTTP/1.1").code is ResetCode.FORBIDDEN


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer x",
        "Impersonate-User: root",
        "impersonate-extra-x: y",
        "X-Remote-User: root",
        "Host: elsewhere",
        "Connection: close",
        "Upgrade: websocket",
        "Cookie: a=b",
        "Proxy-Authorization: x",
        "TE: trailers",
    ],
)
def test_headers_that_only_agentk_may_say_are_forbidden(line: str):
    assert refusal("GET / HTTP/1.1", line).code is ResetCode.FORBIDDEN


@pytest.mark.parametrize(
    "lines",
    [
        ("GET / HTTP/1.0",),
        ("GET http://elsewhere/ HTTP/1.1",),
        ("GET /a b HTTP/1.1",),
        ("GET /#x HTTP/1.1",),
        ("get / HTTP/1.1",),
        ("GET / HTTP/1.1", "Impersonate_User: root"),
        ("GET / HTTP/1.1", " folded"),
        ("GET / HTTP/1.1", "A: b\nImpersonate-User: root"),
        ("POST / HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"),
        ("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 1"),
        ("POST / HTTP/1.1", "Content-Length: -1"),
        ("POST / HTTP/1.1", "Transfer-Encoding: gzip"),
        ("GET / HTTP/1.1", "A: " + "b" * 100_000),
    ],
)
def test_what_is_no_clean_head_is_refused(lines: tuple[str, ...]):
    assert refusal(*lines).code is ResetCode.PROTOCOL


def test_unknown_upgrades_and_truncated_openings_are_refused():
    assert refusal("GET / HTTP/1.1", upgrade="h2c").code is ResetCode.PROTOCOL
    with pytest.raises(RefusedRequestError):
        builder().build(b"\xff\xff")
    with pytest.raises(RefusedRequestError):
        builder().build(opening("GET / HTTP/1.1")[:-1])


def test_an_identity_in_an_identity_is_refused_with_gitlabs_words():
    with pytest.raises(RefusedRequestError, match=NESTED_IMPERSONATION) as caught:
        builder(AsUser(username="ops")).build(opening("GET / HTTP/1.1", identity=ALICE))
    assert caught.value.code is ResetCode.FORBIDDEN


def test_an_agent_that_impersonates_does_so_for_requests_as_the_agent():
    made = builder(AsUser(username="ops")).build(opening("GET / HTTP/1.1"))
    assert b"Impersonate-User: ops\r\n" in made.head


def test_an_empty_user_name_cannot_come_over_the_wire():
    raw = opening("GET / HTTP/1.1", identity=AsUser(username="x")).replace(b"\xa1x", b"\xa0")
    with pytest.raises(RefusedRequestError):
        builder().build(raw)


def test_the_same_opening_is_built_once_and_a_long_one_is_not_kept():
    made = builder()
    assert made.build(opening("GET / HTTP/1.1")) is made.build(opening("GET / HTTP/1.1"))
    long = opening("GET /" + "a" * 5000 + " HTTP/1.1")
    assert made.build(long) is not made.build(long)


def test_a_request_does_not_show_its_credentials():
    assert "t0ken" not in repr(builder(authorization=Secret("Bearer t0ken")).build(opening("GET / HTTP/1.1")))


def test_equal_requests_are_built_once_whatever_their_names():
    envelope = encode_envelope(RequestEnvelope(agent_id=7, grant_id="g", identity=ALICE))
    head = b"GET /api HTTP/1.1\r\nAccept: a/b\r\n\r\n"
    made = builder()
    built = [
        made.build(
            split_stamp(envelope + stamped(head, request_id=name * 32, trace_id=name * 32, trace_flags="00"))[
                0
            ]
        )
        for name in ("a", "b")
    ]
    assert built[0] is built[1]
