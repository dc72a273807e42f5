"""Answers as they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from kasbah.hub.rest.reply import Reply, timestamp, timestamp_or_null

AT = datetime(2026, 3, 1, 10, 15, 42, 317999, tzinfo=timezone(timedelta(hours=1)))


def test_times_are_in_utc_with_milliseconds():
    assert timestamp(AT) == "2026-03-01T09:15:42.317Z"
    assert timestamp(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01T00:00:00.000Z"


def test_a_time_that_never_was_is_null():
    assert timestamp_or_null(None) is None
    assert timestamp_or_null(AT) == timestamp(AT)


def test_a_record_is_json_with_its_status():
    response = Reply({"a": 1}, 201, {"X-Page": "1"}).rendered()
    assert (response.status_code, response.body) == (201, b'{"a":1}')
    assert (response.headers["content-type"], response.headers["x-page"]) == ("application/json", "1")


def test_no_content_is_empty_and_has_no_type():
    response = Reply.empty().rendered()
    assert (response.status_code, response.body) == (204, b"")
    assert "content-type" not in response.headers
