"""The words of a handshake between replicas."""

from __future__ import annotations

import pytest

from kasbah.kas.private_api import dial
from kasbah.kas.private_api.dial import ReplicaUnreachableError
from kasbah.kas.private_api.url import parse_url
from kasbah.wire.websocket import upgrade_response

URL = parse_url("grpc://[fd00::2]:8155")
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def test_the_request_says_where_to_and_who():
    said = dial._request(URL, KEY, "token").decode()
    assert said.startswith("GET /-/kasbah/private-api HTTP/1.1\r\nHost: [fd00::2]:8155\r\n")
    assert "Authorization: Bearer token\r\n" in said
    assert said.endswith("\r\n\r\n")


def test_the_right_answer_is_taken():
    dial._check(upgrade_response(KEY, "kasbah-replica.v1", "x").removesuffix(b"\r\n\r\n"), KEY, URL)


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (b"HTTP/1.1 401 Unauthorized", "refused: HTTP/1.1 401 Unauthorized"),
        (b"HTTP/2 200", "refused"),
        (b"", "refused"),
        (upgrade_response(b"AAAA", "kasbah-replica.v1", "x"), "not for us"),
        (upgrade_response(KEY, "kasbah.v1", "x"), "does not speak"),
        (upgrade_response(KEY, None, "x"), "does not speak"),
    ],
)
def test_any_other_answer_is_not(head: bytes, complaint: str):
    with pytest.raises(ReplicaUnreachableError, match=complaint):
        dial._check(head.removesuffix(b"\r\n\r\n"), KEY, URL)


@pytest.mark.asyncio
async def test_an_answer_without_an_end_is_given_up():
    answer = dial._Answer()
    answer.data_received(b"x" * 20_000)
    with pytest.raises(ReplicaUnreachableError, match="no end"):
        await answer.head
