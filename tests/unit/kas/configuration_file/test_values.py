"""Durations and URLs of the configuration file."""

from __future__ import annotations

import pytest

from kasbah.kas.configuration_file.values import Duration, PositiveDuration, Uri, decode


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("300s", 300), ("0.5s", 0.5), ("1.000000001s", 1.000000001)]
)
def test_a_duration_is_seconds_as_protobuf_writes_them(text: str, seconds: float):
    assert decode(Duration, text) == seconds


@pytest.mark.parametrize(
    "value", ["", "5m", "300", "-1s", "1.s", ".5s", "1s ", "1e3s", "٣s", 301, None, True]
)
def test_what_is_no_duration_is_refused_with_an_example(value: object):
    with pytest.raises(ValueError, match="such as 300s"):
        decode(Duration, value)


@pytest.mark.parametrize("text", ["0s", "0.000s"])
def test_some_durations_are_longer_than_nothing(text: str):
    with pytest.raises(ValueError, match="longer than 0s"):
        decode(PositiveDuration, text)


@pytest.mark.parametrize("text", ["http://gitlab", "https://git.example.com:8443/gitlab", "http://[::1]:80/"])
def test_a_url_is_absolute_and_of_http(text: str):
    assert decode(Uri, text) == text


@pytest.mark.parametrize(
    "value",
    [
        "",
        "gitlab",
        "/x",
        "ftp://x",
        "http://",
        "http://x:0x",
        "http://[::1",
        "http://x?y",
        "http://x y",
        "http://x\n",
        7,
    ],
)
def test_what_is_no_url_is_refused(value: object):
    with pytest.raises(ValueError, match=r"such as https://git\.example\.com"):
        decode(Uri, value)


def test_another_type_is_nobody_s():
    with pytest.raises(NotImplementedError):
        decode(int, 1)
