"""Error documents of a peer are shown only when they are fit to be shown."""

from __future__ import annotations

import pytest

from kasbah.kas.hub_client import answers


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"message":"403 Forbidden"}', "403 Forbidden"),
        (b'{"message":"a\\nb\\u001b[31m"}', "ab[31m"),
        (b'{"message":{"name":["taken"]}}', ""),
        (b"<html>", ""),
        (b"\xff", ""),
        (b'{"message":"' + b"x" * 1000 + b'"}', "x" * 256),
    ],
)
def test_a_message_is_one_short_line(body: bytes, shown: str):
    assert answers.message_of(body) == shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"message":"403 Forbidden"}', ""),
        (b'{"reason":"a\\nb"}', "ab"),
        (b'{"reason":7}', ""),
        (b"[]", ""),
        (b'{"reason":"' + b"x" * 2000 + b'"}', "x" * 1024),
    ],
)
def test_a_reason_is_one_line(body: bytes, shown: str):
    assert answers.reason_of(body) == shown
