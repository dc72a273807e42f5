from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.wire import http1
from kasbah.wire.http1 import ChunkedBody, HeadProbe, MalformedMessageError


def head(first: bytes = b"GET / HTTP/1.1", *lines: bytes, host: bytes = b"Host: kasbah\r\n") -> bytes:
    return first + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def test_a_head_is_read_with_names_in_lower_case_and_values_trimmed():
    parsed = http1.request_head(head(b"GET /a%2Fb?c HTTP/1.1", b"X-Thing:  a b \t", b"Empty:"))
    assert (parsed.method, parsed.target) == (b"GET", b"/a%2Fb?c")
    assert parsed.headers == ((b"host", b"kasbah"), (b"x-thing", b"a b"), (b"empty", b""))
    assert not parsed.has_body
    assert parsed.keep_alive


def test_a_small_head_is_remembered_and_a_large_one_is_not():
    small, large = head(), head(b"GET / HTTP/1.1", b"X: " + b"x" * 5000)
    assert http1.request_head(small) is http1.request_head(bytes(bytearray(small)))
    assert http1.request_head(large) is not http1.request_head(large)


def test_values_are_found_by_name():
    parsed = http1.request_head(head(b"GET / HTTP/1.1", b"A: 1", b"a: 2"))
    assert parsed.values(b"a") == (b"1", b"2")
    assert parsed.value(b"a") == b"1"
    assert parsed.value(b"b") == b""


@pytest.mark.parametrize(
    ("lines", "length", "chunked"),
    [
        ((b"Content-Length: 5",), 5, False),
        ((b"Content-Length: 0",), 0, False),
        ((b"Transfer-Encoding: chunked",), None, True),
    ],
)
def test_the_body_is_framed_in_one_way(lines, length, chunked):
    parsed = http1.request_head(head(b"POST / HTTP/1.1", *lines))
    assert (parsed.content_length, parsed.chunked) == (length, chunked)
    assert parsed.has_body is (chunked or bool(length))


def test_connection_close_and_http_1_0_end_the_connection():
    assert not http1.request_head(head(b"GET / HTTP/1.1", b"Connection: Close")).keep_alive
    old = http1.request_head(head(b"GET / HTTP/1.0", b"Connection: keep-alive"))
    assert old.http_1_0
    assert not old.keep_alive


def test_an_upgrade_counts_only_when_the_connection_asks_for_it():
    asked = head(b"GET / HTTP/1.1", b"Connection: keep-alive, Upgrade", b"Upgrade: websocket")
    assert http1.request_head(asked).upgrade == b"websocket"
    assert http1.request_head(head(b"GET / HTTP/1.1", b"Upgrade: websocket")).upgrade == b""


def test_the_expectation_and_the_origin_are_read():
    parsed = http1.request_head(head(b"PUT / HTTP/1.1", b"Expect: 100-Continue", b"Origin: https://a"))
    assert parsed.expects_continue
    assert parsed.origin == b"https://a"


REFUSED = [
    (400, head(host=b"")),
    (400, head(b"GET / HTTP/1.1", b"Host: other")),
    (400, head(host=b"Host:\r\n")),
    (400, head(host=b"Host: a, b\r\n")),
    (400, head(host=b"Host: a b\r\n")),
    (400, head(host=b"Host: a/b\r\n")),
    (400, head(host=b"Host: u@a\r\n")),
    (400, head(host=b"Host: a:80:80\r\n")),
    (400, head(host=b"Host: [::1\r\n")),
    (400, head(b"GET http://a/ HTTP/1.1")),
    (400, head(b"GET /#a HTTP/1.1")),
    (400, head(b"GET /\x80 HTTP/1.1")),
    (400, head(b"OPTIONS * HTTP/1.1")),
    (414, head(b"GET /" + b"a" * 20_000 + b" HTTP/1.1")),
    (400, head(b"TRACE / HTTP/1.1")),
    (400, head(b"get / HTTP/1.1")),
    (505, head(b"GET / HTTP/2.0")),
    (505, head(b"GET / HTTP/0.9")),
    (400, head(b"POST / HTTP/1.0", b"Content-Length: 1")),
    (400, head(b"POST / HTTP/1.1", b"Content-Length: 1", b"Content-Length: 1")),
    (400, head(b"POST / HTTP/1.1", b"Content-Length: 1, 1")),
    (400, head(b"POST / HTTP/1.1", b"Content-Length: 0x1")),
    (400, head(b"POST / HTTP/1.1", b"Content-Length: 1000000000000000")),
    (400, head(b"POST / HTTP/1.1", b"Content-Length: 1", b"Transfer-Encoding: chunked")),
    (400, head(b"POST / HTTP/1.1", b"Transfer-Encoding: gzip, chunked")),
    (400, head(b"POST / HTTP/1.1", b"Transfer-Encoding: Chunked")),
    (400, head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    (417, head(b"PUT / HTTP/1.1", b"Expect: miracles")),
    (400, head(b"GET / HTTP/1.1", b"A_B: 1")),
    (400, head(b"GET / HTTP/1.1", b"x" * 100 + b"_: 1")),
    (400, head(b"GET / HTTP/1.1", b" folded")),
    (400, head(b"GET / HTTP/1.1", b"A : 1")),
    (400, head(b"GET / HTTP/1.1", b"A: \x00")),
    (431, head(b"GET / HTTP/1.1", *[b"A: 1"] * 100)),
    (431, head(b"GET / HTTP/1.1", b"A: " + b"x" * 70_000)),
    (400, b"\r\n" + head()),
    (400, head()[:-2]),
    (400, b"GET / HTTP/1.1\nHost: a\n\n"),
]


@pytest.mark.parametrize(("status", "raw"), REFUSED, ids=range(len(REFUSED)))
def test_what_can_be_read_in_two_ways_is_refused(status, raw):
    with pytest.raises(MalformedMessageError) as caught:
        http1.request_head(raw)
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_worse(noise):
    with pytest.raises(MalformedMessageError):
        http1.request_head(noise + b"\r\n\r\n")


def test_a_response_head_is_read_and_a_100_too():
    parsed = http1.parse_response_head(b"HTTP/1.1 200 OK\r\nA: 1\r\nA: 2\r\n\r\n")
    assert (parsed.status, parsed.values(b"a")) == (200, (b"1", b"2"))
    assert http1.parse_response_head(b"HTTP/1.1 204 No Content\r\n\r\n").status == 204


@pytest.mark.parametrize("lines", [b"", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"])
def test_a_101_is_read_with_and_without_its_upgrade_header(lines):
    assert http1.parse_response_head(b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n").status == 101


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 200 OK\r\nA\r\n\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)
def test_a_broken_response_head_is_refused(raw):
    with pytest.raises(MalformedMessageError):
        http1.parse_response_head(raw)


def test_a_trailer_behind_a_response_head_is_no_header():
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nImpersonate-User: root\r\n\r\n"
    assert http1.parse_response_head(raw).values(b"impersonate-user") == ()


CHUNKS = b"5\r\nhello\r\n6;x=y\r\na\r\n\r\nb\r\n0\r\nImpersonate-User: root\r\n\r\nGET / HTTP/1.1\r\n"


@given(st.lists(st.integers(0, len(CHUNKS)), max_size=8))
def test_chunks_are_taken_off_however_they_arrive(cuts):
    body, pieces, rest = ChunkedBody(), [], b""
    edges = [0, *sorted(cuts), len(CHUNKS)]
    for start, end in pairwise(edges):
        if body.complete:
            rest += CHUNKS[start:end]
        else:
            more, rest = body.receive(CHUNKS[start:end])
            pieces += more
    assert b"".join(pieces) == b"helloa\r\n\r\nb"
    assert rest == b"GET / HTTP/1.1\r\n"


@pytest.mark.parametrize("raw", [b"x\r\n", b"5\nhello\r\n", b"1\r\nab\r\n", b"F" * 17 + b"\r\n", b"-1\r\n"])
def test_malformed_chunks_are_refused(raw):
    with pytest.raises(MalformedMessageError):
        ChunkedBody().receive(raw)


def test_endless_trailers_are_refused():
    body = ChunkedBody()
    body.receive(b"0\r\n")
    with pytest.raises(MalformedMessageError):
        body.receive(b"A: " + b"x" * 70_000 + b"\r\n\r\n")


def test_a_probe_sees_at_once_what_cannot_become_a_head():
    probe = HeadProbe()
    probe.receive(b"GET / HT")
    with pytest.raises(MalformedMessageError):
        probe.receive(b"TQ/1.1")


def test_a_probe_bears_an_upgrade():
    HeadProbe().receive(head(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket"))


@pytest.mark.parametrize(
    "host", [b"a", b"a:1", b"a.b-c_d~e:65535", b"127.0.0.1:80", b"[::1]", b"[fd00::1]:8443", b"a:"]
)
def test_a_host_is_a_name_or_an_address_and_perhaps_a_port(host):
    assert http1.request_head(head(host=b"Host: %b\r\n" % host)).value(b"host") == host


def test_only_the_keys_of_an_identity_may_hold_more_than_letters_digits_and_dashes():
    name = b"Impersonate-Extra-Example.com%2fa_b"
    assert http1.request_head(head(b"GET / HTTP/1.1", name + b": x")).values(name.lower()) == (b"x",)
    for other in (
        b"X.Y",
        b"X_Y",
        b"X%2f",
        b"Impersonate-User%2f",
        b"Impersonate-Extra-a b",
        b"Impersonate-Extra-\xe9",
    ):
        with pytest.raises(MalformedMessageError):
            http1.request_head(head(b"GET / HTTP/1.1", other + b": x"))
