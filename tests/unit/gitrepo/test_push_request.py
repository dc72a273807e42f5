"""Ref updates, read from a push on its way to git."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.gitrepo import pkt_line
from kasbah.gitrepo.errors import BadGitRequestError, RequestTooLargeError
from kasbah.gitrepo.push_answer import PushAnswer, parse_report
from kasbah.gitrepo.push_request import (
    MAX_REF_BYTES,
    PushRequest,
    PushRequestParser,
    RefUpdate,
    render_refusal,
)

ZERO, ONE, TWO = "0" * 40, "1" * 40, "2" * 40


def update_line(old: str, new: str, ref: bytes, capabilities: bytes = b"") -> bytes:
    text = f"{old} {new} ".encode() + ref + (b"\0" + capabilities if capabilities else b"")
    return pkt_line.encode(text)


def parse(stream: bytes, *, step: int = 7, max_updates: int = 10, max_bytes: int = 10_000) -> PushRequest:
    parser = PushRequestParser(max_updates=max_updates, max_bytes=max_bytes)
    found = [parser.feed(stream[at : at + step]) for at in range(0, len(stream), step)]
    requests = [request for request in found if request is not None]
    assert len(requests) == 1
    return requests[0]


def test_updates_and_capabilities_are_read():
    lines = [
        update_line(ZERO, ONE, b"refs/heads/new", b" report-status side-band-64k agent=git/2"),
        update_line(ONE, TWO, b"refs/heads/moved"),
        update_line(TWO, ZERO, b"refs/tags/gone\n"),
    ]
    request = parse(b"".join(lines) + pkt_line.FLUSH + b"PACK and anything")
    assert [update.ref for update in request.updates] == [
        b"refs/heads/new",
        b"refs/heads/moved",
        b"refs/tags/gone",
    ]
    assert [(update.creates, update.deletes) for update in request.updates] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert (request.side_band, request.wants_report) == (True, True)


@given(st.integers(min_value=1, max_value=200))
def test_the_request_is_found_once_however_it_is_cut(step):
    stream = update_line(ZERO, ONE, b"refs/heads/a", b"report-status") + pkt_line.FLUSH + b"0000PACK" * 9
    assert parse(stream, step=step).updates == (RefUpdate(ref=b"refs/heads/a", old=ZERO, new=ONE),)


def test_a_probe_without_updates_is_a_request():
    request = parse(pkt_line.FLUSH)
    assert request == PushRequest(updates=(), capabilities=frozenset())
    assert not request.wants_report


def test_shallow_lines_are_passed_over():
    stream = pkt_line.encode(b"shallow " + ONE.encode()) + update_line(ZERO, TWO, b"refs/heads/a", b"atomic")
    assert len(parse(stream + pkt_line.FLUSH).updates) == 1


def test_ids_of_sha256_are_taken():
    request = parse(update_line("0" * 64, "a" * 64, b"refs/heads/a") + pkt_line.FLUSH)
    assert request.updates[0].new == "a" * 64


@pytest.mark.parametrize(
    "line",
    [
        b"push-cert\0",
        b"",
        ZERO.encode(),
        f"{ZERO} {ONE}".encode(),
        f"{ZERO} {ONE} ".encode(),
        f"{ZERO} {'g' * 40} refs/heads/a".encode(),
        f"{ZERO[:39]} {ONE} refs/heads/a".encode(),
    ],
)
def test_a_line_that_is_no_update_is_refused(line):
    with pytest.raises(BadGitRequestError):
        parse(pkt_line.encode(line) + pkt_line.FLUSH)


def test_a_delimiter_among_the_updates_is_refused():
    with pytest.raises(BadGitRequestError):
        parse(b"0001")


def test_too_many_updates_are_refused_with_those_before_them_known():
    parser = PushRequestParser(max_updates=2, max_bytes=10_000)
    with pytest.raises(RequestTooLargeError, match="at most 2 refs"):
        parser.feed(b"".join(update_line(ZERO, ONE, b"refs/heads/%d" % n) for n in range(3)))
    assert len(parser.so_far.updates) == 2


def test_a_list_that_never_ends_is_refused():
    with pytest.raises(RequestTooLargeError, match="too long"):
        parse(pkt_line.encode(b"shallow " + ONE.encode()) * 300)


def test_a_name_beyond_all_measure_is_refused():
    with pytest.raises(BadGitRequestError, match="1024 bytes"):
        parse(update_line(ZERO, ONE, b"refs/heads/" + b"a" * MAX_REF_BYTES) + pkt_line.FLUSH)


@pytest.mark.parametrize("side_band", [b"", b" side-band-64k"])
def test_a_refusal_is_a_report_that_rejects_every_ref(side_band):
    updates = tuple(RefUpdate(ref=b"refs/heads/%d" % n, old=ZERO, new=ONE) for n in range(3000))
    capabilities = frozenset((b"report-status" + side_band).split())
    refusal = render_refusal(PushRequest(updates=updates, capabilities=capabilities), "too much")
    answer = PushAnswer(side_band=bool(side_band))
    progress = answer.feed(refusal)
    assert (b"\2too much\n" in progress) == bool(side_band)
    assert answer.report().rejected == tuple(update.ref for update in updates)
    assert not answer.report().unpacked


def test_a_client_that_asked_for_no_report_gets_none():
    request = PushRequest(updates=(), capabilities=frozenset())
    assert render_refusal(request, "no") == b""
    assert parse_report(b"").accepted == ()


@given(st.binary(max_size=500))
def test_whatever_comes_is_understood_or_refused_in_our_words(stream):
    parser = PushRequestParser(max_updates=3, max_bytes=200)
    with contextlib.suppress(BadGitRequestError, RequestTooLargeError):
        parser.feed(stream)
