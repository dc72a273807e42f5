from __future__ import annotations

import base64
import hashlib

import pytest

from kasbah.wire import http1, request_policy
from kasbah.wire.credential import Credential
from kasbah.wire.identity import AsUser
from kasbah.wire.request_policy import RefusedRequestError

TOKEN = b"Authorization: Bearer pat:7:secret"
PREFIX = b"/k8s-proxy/"
EXEC = b"GET /k8s-proxy/api/v1/namespaces/shop/pods/web/exec"
KEY = b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")


def prepare(line: bytes, *lines: bytes, token: bytes = TOKEN) -> request_policy.ProxyRequest:
    headers = [b"Host: kasbah", *lines, *([token] if token else [])]
    raw = line + b" HTTP/1.1\r\n" + b"\r\n".join(headers) + b"\r\n\r\n"
    return request_policy.prepare(http1.request_head(raw), len(PREFIX) - 1)


def refusal(
    line: bytes = b"GET /k8s-proxy/version", *lines: bytes, token: bytes = TOKEN
) -> RefusedRequestError:
    with pytest.raises(RefusedRequestError) as caught:
        prepare(line, *lines, token=token)
    return caught.value


def test_only_what_is_on_the_list_travels():
    request = prepare(
        b"GET /k8s-proxy/api/v1/pods?limit=5",
        b"Accept: application/json",
        b"accept-encoding: gzip",
        b"Cookie: a=b",
        b"X-Forwarded-For: 1.2.3.4",
        b"Forwarded: for=1.2.3.4",
        b"X-HTTP-Method-Override: DELETE",
        b"Proxy-Authorization: x",
        b"TE: trailers",
        b"Sec-WebSocket-Key: x",
        b"User-Agent: kubectl/v1.36.0 \xe9",
        b"Kubectl-Command: kubectl get",
    )
    assert request.head == (
        b"GET /api/v1/pods?limit=5 HTTP/1.1\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"
        b"Kubectl-Command: kubectl get\r\nUser-Agent: kubectl/v1.36.0 ?\r\nVia: 1.1 kasbah-kas\r\n\r\n"
    )
    assert request.gzip_accepted
    assert request.repeatable


def test_what_connection_names_does_not_travel():
    request = prepare(
        b"GET /k8s-proxy/version", b"Connection: Accept, Range", b"Accept: a/b", b"Range: bytes=0-"
    )
    assert b"Accept: " not in request.head
    assert b"Range" not in request.head


def test_a_browsers_answer_is_never_compressed():
    session = b"Cookie: _gitlab_kas=s\r\nGitlab-Agent-Id: 7\r\nX-Csrf-Token: t"
    request = prepare(b"GET /k8s-proxy/version", b"Accept-Encoding: gzip, br", token=session)
    assert request.credential.kind == "session"
    assert b"Accept-Encoding: identity\r\n" in request.head
    assert b"gzip" not in request.head
    assert not request.gzip_accepted


def test_without_accept_encoding_the_answer_is_asked_for_as_it_is():
    request = prepare(b"GET /k8s-proxy/version")
    assert b"Accept-Encoding: identity\r\n" in request.head
    assert not request.gzip_accepted


@pytest.mark.parametrize(
    ("line", "framing"),
    [
        (b"Content-Length: 2", b"Content-Length: 2\r\n"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_the_body_is_framed_anew(line, framing):
    request = prepare(b"POST /k8s-proxy/api/v1/namespaces", line)
    assert framing in request.head
    assert not request.repeatable


def test_a_small_request_is_remembered_and_a_large_one_is_not():
    assert prepare(b"GET /k8s-proxy/version") is prepare(b"GET /k8s-proxy/version")
    large = b"Accept: " + b"a" * 5000
    assert prepare(b"GET /k8s-proxy/version", large) is not prepare(b"GET /k8s-proxy/version", large)


def test_the_credential_is_taken_out_and_masked():
    credential = prepare(b"GET /k8s-proxy/version").credential
    assert (credential.kind, credential.agent_id, credential.token) == ("pat", 7, "secret")
    assert "secret" not in repr(credential)
    assert credential.key == hashlib.sha256(b"pat\x007\x00secret\x00").digest()


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        (b"", "no valid credentials provided"),
        (TOKEN + b"\r\n" + TOKEN, "expecting a single header, got 2"),
        (
            TOKEN + b"\r\nCookie: a=b; _gitlab_kas=x",
            "expecting a single credential, got a header and a cookie",
        ),
        (b"Authorization: bearer pat:7:x", "expecting Bearer token"),
        (b"Authorization: Basic eDp5", "expecting Bearer token"),
        (b"Authorization: Bearer foo", "Authorization header: invalid value"),
        (b"Authorization: Bearer pat:7", "Authorization header: invalid value"),
        (
            b"Authorization: Bearer pat:abc:x",
            'Authorization header: failed to parse: strconv.ParseInt: parsing "abc": invalid syntax',
        ),
        (
            b"Authorization: Bearer pat:0:x",
            'Authorization header: failed to parse: strconv.ParseInt: parsing "0": invalid syntax',
        ),
        (b"Authorization: Bearer pat:7:", "Authorization header: empty token"),
        (b"Authorization: Bearer foo:7:x", "Authorization header: unknown token type"),
    ],
)
def test_other_credentials_are_refused_in_gitlabs_words(token, cause):
    error = refusal(token=token)
    assert (error.status, str(error)) == (401, f"Unauthorized: {cause}")


@pytest.mark.parametrize(
    "lines",
    [
        [b"IMPERSONATE-GROUP: a"],
        [b"Impersonate-Extra-x: a"],
        [b"Impersonate-User: a", b"Impersonate-User: b"],
        [b"Impersonate-User: a", b"Impersonate-Uid: 1", b"Impersonate-Uid: 2"],
        [b"Impersonate-User: a", b"Impersonate-Extra-: x"],
        [b"Impersonate-User: a", b"Impersonate-Other: x"],
        [b"Impersonate-User:"],
        [b"Impersonate-User: \xe9"],
        [b"X-Remote-User: a"],
        [b"x-remote-extra-y: a"],
    ],
)
def test_an_identity_that_is_not_one_is_refused_even_when_connection_names_it(lines):
    names = b", ".join(line.partition(b":")[0] for line in lines)
    assert refusal(b"GET /k8s-proxy/version", b"Connection: " + names, *lines).status == 400


def test_whom_the_client_wants_to_be_is_read_and_does_not_travel():
    request = prepare(
        b"GET /k8s-proxy/version",
        b"Connection: Impersonate-User",
        b"Impersonate-User: alice",
        b"impersonate-group: a",
        b"Impersonate-Group: b",
        b"Impersonate-Uid: 7",
        b"Impersonate-Extra-Scopes: one",
        b"Impersonate-Extra-scopes: two",
        b"Impersonate-Extra-Example.com%2fReason: why",
    )
    assert request.impersonation == AsUser(
        username="alice",
        groups=("a", "b"),
        uid="7",
        extra=(("scopes", ("one", "two")), ("example.com/reason", ("why",))),
    )
    assert b"mpersonate" not in request.head


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ("0af7651916cd43dd8448eb211c80319c", "01"),
        ),
        (b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", ("", "00")),
        (b"00-00000000000000000000000000000000-b7ad6b7169203331-01", ("", "00")),
        (b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ("", "00")),
        (b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ("", "00")),
        (b"nonsense", ("", "00")),
    ],
)
def test_the_trace_of_a_client_is_known_when_it_is_one(value, trace):
    request = prepare(b"GET /k8s-proxy/version", b"Traceparent: " + value)
    assert (request.trace_id, request.trace_flags) == trace
    assert request.parent_id == ("b7ad6b7169203331" if request.trace_id else "")
    assert b"raceparent" not in request.head


def test_an_ambiguous_path_is_refused():
    assert refusal(b"GET /k8s-proxy/api/../x").status == 400


@pytest.mark.parametrize(("asked", "upgrade"), [(b"WebSocket", "websocket"), (b"spdy/3.1", "SPDY/3.1")])
def test_the_two_upgrades_of_kubernetes_travel_without_their_connection_headers(asked, upgrade):
    request = prepare(
        EXEC, b"Connection: Upgrade", b"Upgrade: " + asked, KEY, b"X-Stream-Protocol-Version: v4"
    )
    assert request.upgrade == upgrade
    assert b"X-Stream-Protocol-Version: v4\r\n" in request.head
    assert b"pgrade:" not in request.head
    assert not request.repeatable


def test_a_websocket_must_be_accepted_with_its_key():
    request = prepare(EXEC, *WEBSOCKET, KEY)
    digest = hashlib.sha1(KEY.partition(b": ")[2] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324
    assert request.websocket_accept == base64.b64encode(digest)


def test_a_credential_among_the_websocket_protocols_does_not_travel():
    protocols = b"Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0"
    request = prepare(EXEC, *WEBSOCKET, KEY, protocols)
    assert b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n" in request.head
    assert b"bearer" not in request.head


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (EXEC, (b"Connection: Upgrade", b"Upgrade: h2c")),
        (EXEC, (b"Connection: Upgrade", b"Upgrade: websocket, SPDY/3.1")),
        (EXEC, WEBSOCKET),
        (EXEC, (*WEBSOCKET, KEY, KEY)),
        (EXEC.replace(b"GET", b"POST"), (*WEBSOCKET, KEY, b"Content-Length: 3")),
        (EXEC.replace(b"GET", b"PUT"), (*WEBSOCKET, KEY)),
        (b"GET /k8s-proxy/api/v1/pods", (*WEBSOCKET, KEY)),
    ],
)
def test_other_upgrades_are_refused(line, lines):
    assert refusal(line, *lines).status == 400


def test_a_credential_compares_by_value():
    one = Credential(kind="pat", agent_id=7, token="t", key=b"k")
    assert one == Credential(kind="pat", agent_id=7, token="t", key=b"k")
