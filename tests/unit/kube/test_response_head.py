from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.kube.errors import UpstreamError
from kasbah.kube.response_head import CHUNKED, MAX_HEADER_LINES, UNTIL_CLOSE, parse


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1")


def test_end_to_end_headers_travel_on_as_they_came():
    parsed = parse(head("Audit-Id: 1", "content-type:application/json", "Content-Length: 5"))
    assert parsed.kept == head("Audit-Id: 1", "content-type:application/json", "Content-Length: 5")
    assert (parsed.status, parsed.length, parsed.keep_alive) == (200, 5, True)


def test_hop_by_hop_headers_stay_here():
    parsed = parse(
        head("Connection: keep-alive, X-Private", "Keep-Alive: 5", "X-Private: 1", "Te: x", "X: y")
    )
    assert parsed.kept == head("X: y")


def test_a_chunked_body_has_no_length():
    parsed = parse(head("Transfer-Encoding: Chunked"))
    assert (parsed.length, parsed.kept) == (CHUNKED, head())


def test_a_body_without_framing_ends_with_the_connection():
    parsed = parse(head("A: b"))
    assert (parsed.length, parsed.keep_alive) == (UNTIL_CLOSE, False)


@pytest.mark.parametrize("version", ["HTTP/1.0 200 OK", "HTTP/1.1 200"])
def test_only_http_1_1_keeps_connections(version: str):
    assert parse(head("Content-Length: 0", status=version)).keep_alive == ("1.1" in version)


def test_a_close_is_heard_among_other_options():
    assert not parse(head("Content-Length: 0", "Connection: X", "Connection: Close")).keep_alive


def test_the_upgrade_is_named_in_lower_case():
    assert parse(head("Upgrade: SPDY/3.1", status="HTTP/1.1 101 Switching")).upgrade == b"spdy/3.1"


def test_no_content_has_no_length():
    assert parse(head("Content-Length: 0", status="HTTP/1.1 204 No Content")).kept == head(
        status="HTTP/1.1 204 No Content"
    )


@pytest.mark.parametrize(
    "bad",
    [
        head("Content-Length: 5", "Content-Length: 5"),
        head("Content-Length: 5", "Transfer-Encoding: chunked"),
        head("Content-Length: +5"),
        head("Content-Length: 5, 5"),
        head("Transfer-Encoding: gzip, chunked"),
        head("A: b", " folded"),
        head("A : b"),
        head("A: b\nB: c"),
        head("A: b\rB: c"),
        head("A: \x00"),
        head(": nameless"),
        head("nothing"),
        head(status="HTTP/2 200"),
        head(status="HTTP/1.1 600 No"),
        head(status="200 OK"),
        head(*["A: b"] * (MAX_HEADER_LINES + 1)),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(bad: bytes):
    with pytest.raises(UpstreamError):
        parse(bad)


def test_long_lines_and_heads_are_read_but_not_remembered():
    parsed = parse(head("A: " + "b" * 300, "B: " + "c" * 3000, status="HTTP/1.1 200 " + "o" * 300))
    assert len(parsed.kept) > 3000


class _Names:
    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "b-C", "X_y", "Date"]), st.text("ab \t,:;=\x7f\x80\r\n\0", max_size=8)
        ),
        max_size=4,
    )
)
def test_what_is_accepted_llhttp_reads_alike(headers: list[tuple[str, str]]):
    raw = head(*(f"{name}: {value}" for name, value in headers), "Content-Length: 0")
    try:
        kept = parse(raw).kept
    except UpstreamError:
        return
    theirs = _Names()
    httptools.HttpResponseParser(theirs).feed_data(kept)
    expected = [(name.encode(), value.strip(" \t").encode("latin-1")) for name, value in headers]
    assert [(name, value.strip(b" \t")) for name, value in theirs.headers] == [
        *expected,
        (b"Content-Length", b"0"),
    ]
