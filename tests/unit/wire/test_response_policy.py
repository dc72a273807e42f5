from __future__ import annotations

import pytest

from kasbah.wire import response_policy
from kasbah.wire.response_policy import SECURITY_HEADERS, RefusedResponseError


def admit(
    status: bytes = b"200 OK", *lines: bytes, head: bool = False, gzip: bool = False
) -> response_policy.ClientResponse:
    raw = b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    return response_policy.admit(raw, bodiless=head, gzip_accepted=gzip)


HOSTILE = [
    b"Set-Cookie: a=b",
    b"Location: /x",
    b"Refresh: 0",
    b"Link: </x>",
    b"Alt-Svc: h3",
    b"NEL: {}",
    b"Report-To: {}",
    b"Clear-Site-Data: *",
    b"Strict-Transport-Security: max-age=1",
    b"X-Accel-Redirect: /x",
    b"X-Sendfile: /x",
    b"Service-Worker-Allowed: /",
    b"Content-Security-Policy: default-src *",
    b"Access-Control-Allow-Origin: *",
    b"WWW-Authenticate: Basic",
    b"Cache-Control: public",
    b"Edge-Control: cache",
    b"Vary: X",
    b"Server: x",
    b"Trailer: x",
    b"Upgrade: h2c",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_a_header_that_is_not_on_the_list_stays_behind(line):
    lines = admit(b"200 OK", line).lines.replace(SECURITY_HEADERS, b"")
    assert line.partition(b":")[0].lower() not in lines.lower()


def test_what_kubernetes_says_travels_and_our_headers_are_on_it():
    response = admit(
        b"200 OK", b"Audit-Id: x", b"content-type: application/json", b"Content-Length: 5", b"Retry-After: 1"
    )
    assert response.lines.startswith(b"HTTP/1.1 200 OK\r\nAudit-Id: x\r\nRetry-After: 1\r\n")
    assert b"Content-Type: application/json\r\n" in response.lines
    assert response.lines.endswith(SECURITY_HEADERS)
    assert (response.status, response.content_length, response.bodiless) == (200, 5, False)


@pytest.mark.parametrize(
    "status", [b"301 Moved", b"302 Found", b"307 T", b"308 P", b"100 Continue", b"103 Early"]
)
def test_redirects_and_interim_answers_are_refused(status):
    with pytest.raises(RefusedResponseError):
        admit(status)


def test_heads_without_bodies_are_known():
    assert admit(b"200 OK", b"Content-Length: 5", head=True).bodiless
    assert admit(b"304 Not Modified").bodiless
    assert admit(b"204 No Content", b"Content-Length: 0").content_length is None


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Type: text/html", b"Content-Type: application/json"),
        (b"Content-Type: text/html;",),
        (b"Content-Type: text",),
        (b"Content-Type: a/b; c=" + b"d" * 3000,),
    ],
)
def test_a_doubtful_type_becomes_plain_bytes(lines):
    assert b"Content-Type: application/octet-stream\r\n" in admit(b"200 OK", *lines).lines


def test_gzip_travels_only_when_it_was_asked_for():
    assert b"Content-Encoding: gzip" in admit(b"200 OK", b"Content-Encoding: gzip", gzip=True).lines
    assert b"Content-Encoding: identity" in admit(b"200 OK", b"Content-Encoding: identity").lines
    with pytest.raises(RefusedResponseError):
        admit(b"200 OK", b"Content-Encoding: gzip")
    with pytest.raises(RefusedResponseError):
        admit(b"200 OK", b"Content-Encoding: br", gzip=True)


def test_a_warning_must_be_plain_and_short():
    assert b"Warning" not in admit(b"200 OK", b"Warning: \xe9").lines
    assert b"Warning" not in admit(b"200 OK", b"Warning: " + b"x" * 3000).lines


def test_small_heads_are_remembered_and_large_ones_are_not():
    assert admit(b"200 OK") is admit(b"200 OK")
    large = b"X: " + b"x" * 5000
    assert admit(b"200 OK", large) is not admit(b"200 OK", large)


def test_a_head_that_cannot_be_read_is_refused():
    with pytest.raises(RefusedResponseError):
        response_policy.admit(b"nonsense\r\n\r\n", bodiless=False, gzip_accepted=False)


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: proof\r\nSet-Cookie: a=b\r\n\r\n"


def test_a_101_travels_with_what_belongs_to_it_and_nothing_else():
    assert response_policy.admit_101(SWITCH, "websocket", b"proof") == (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: proof\r\n\r\n"
    )


def test_a_101_without_proof_is_refused():
    with pytest.raises(RefusedResponseError):
        response_policy.admit_101(SWITCH, "websocket", b"another")


def test_another_answer_to_an_upgrade_is_no_101():
    assert response_policy.admit_101(b"HTTP/1.1 403 Forbidden\r\n\r\n", "websocket", b"proof") is None


def test_reasons_are_known():
    assert response_policy.reason_of(502) == b"Bad Gateway"
    assert response_policy.reason_of(299) == b""


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/json",
        b"Application/JSON; charset=utf-8",
        b"application/json;stream=watch",
        b"application/json;as=Table;v=v1;g=meta.k8s.io",
        b"application/merge-patch+json",
        b"application/yaml",
        b"application/cbor",
        b"application/cbor-seq",
        b"application/vnd.kubernetes.protobuf;stream=watch",
        b"text/plain; version=0.0.4",
    ],
)
def test_a_browser_gets_data(media_type):
    response_policy.refuse_pages(admit(b"200 OK", b"Content-Type: " + media_type))


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"Content-Type: text/html",),
        (b"Content-Type: text/plainhtml",),
        (b"Content-Type: application/xhtml+xml",),
        (b"Content-Type: image/svg+xml",),
        (b"Content-Type: application/javascript",),
        (b"Content-Type: application/octet-stream",),
        (b"Content-Type: multipart/x-mixed-replace;application/json",),
        (b"Content-Type: application/json", b"Content-Type: text/html"),
        (b"Content-Type: application/json", b"Content-Type: application/json"),
    ],
)
def test_a_browser_gets_nothing_else(lines):
    with pytest.raises(RefusedResponseError):
        response_policy.refuse_pages(admit(b"200 OK", *lines))


def test_a_browser_gets_an_answer_without_a_body():
    for response in (
        admit(b"204 No Content"),
        admit(b"200 OK", head=True),
        admit(b"200 OK", b"Content-Length: 0"),
    ):
        response_policy.refuse_pages(response)
