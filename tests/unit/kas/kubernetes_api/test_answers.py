from __future__ import annotations

from kasbah.kas.kubernetes_api.answers import HeldAnswer, Refusal, answer_failure
from kasbah.wire import http1, response_policy
from kasbah.wire.http1 import RequestHead
from kasbah.wire.kubernetes_status import Failure
from tests.doubles.recording_exchange import RecordingClient


def head_of(line: bytes, *lines: bytes) -> RequestHead:
    return http1.request_head(b"\r\n".join((line + b" HTTP/1.1", b"Host: a", *lines)) + b"\r\n\r\n")


def test_a_failure_is_told_in_the_clients_type_and_a_head_gets_only_its_length():
    client = RecordingClient()
    answer_failure(head_of(b"HEAD /x"), client, Failure(code=429, text="slow", retry_after_s=2), b"A: b\r\n")
    assert client.lines.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"Retry-After: 2\r\n" in client.lines
    assert client.lines.endswith(b"A: b\r\n")
    assert (client.body, client.said) == (b"", ["start bodiless", "finish"])


def test_a_406_keeps_the_mark_of_a_401():
    client = RecordingClient()
    answer_failure(head_of(b"GET /x", b"Accept: text/html"), client, Failure(code=401, text="no"))
    assert client.status == 406
    assert b"Gitlab-Unauthorized: true" in client.lines


def test_what_waits_begins_empty():
    answer = response_policy.admit(b"HTTP/1.1 403 Forbidden\r\n\r\n", bodiless=False, gzip_accepted=False)
    held, refusal = HeldAnswer(answer), Refusal(answer)
    assert (held.answer, held.data, held.ended) == (answer, [], False)
    assert (refusal.answer, refusal.body) == (answer, b"")
