"""git's answer to a push, held until the push is safe."""

from __future__ import annotations

import pytest

from kasbah.gitrepo.errors import GitFailedError
from kasbah.gitrepo.pkt_line import FLUSH, encode
from kasbah.gitrepo.push_answer import PushAnswer, parse_report

REPORT = b"".join(
    [
        encode(b"unpack ok\n"),
        encode(b"ok refs/heads/main\n"),
        encode(b"option refname refs/heads/x\n"),
        encode(b"ng refs/heads/old non-fast-forward\n"),
        FLUSH,
    ]
)


def test_progress_passes_and_the_report_is_held():
    answer = PushAnswer(side_band=True)
    progress = encode(b"\2Resolving deltas\n")
    tail = encode(b"\1" + REPORT) + FLUSH
    assert answer.feed(progress + tail) == progress
    assert answer.held() == tail


def test_what_follows_the_report_waits_behind_it():
    answer = PushAnswer(side_band=True)
    tail = encode(b"\1" + REPORT[:9]) + encode(b"\2late\n") + encode(b"\1" + REPORT[9:]) + FLUSH
    assert answer.feed(tail) == b""
    assert answer.held() == tail
    assert answer.report().accepted == (b"refs/heads/main",)


def test_the_answer_is_the_same_however_it_is_cut():
    whole = encode(b"\2a\n") + encode(b"\1" + REPORT) + FLUSH
    answer = PushAnswer(side_band=True)
    passed = b"".join(answer.feed(whole[at : at + 3]) for at in range(0, len(whole), 3))
    assert passed + answer.held() == whole


def test_without_side_band_everything_is_held():
    answer = PushAnswer(side_band=False)
    assert answer.feed(REPORT) == b""
    assert answer.held() == REPORT
    assert answer.report().rejected == (b"refs/heads/old",)


def test_a_report_names_what_moved_and_what_did_not():
    report = parse_report(REPORT)
    assert report.unpacked
    assert report.accepted == (b"refs/heads/main",)
    assert report.rejected == (b"refs/heads/old",)


def test_a_failed_unpack_is_told():
    assert not parse_report(encode(b"unpack index-pack abnormal exit\n") + FLUSH).unpacked


@pytest.mark.parametrize("cut", [b"", REPORT[:30], b"zzzz"])
def test_a_report_cut_off_says_what_is_whole(cut):
    assert parse_report(cut).accepted == ()


def test_a_report_beyond_all_measure_is_an_error():
    answer = PushAnswer(side_band=False, max_held=100)
    with pytest.raises(GitFailedError):
        answer.feed(b"x" * 101)
