from __future__ import annotations

from kasbah.kas.http_server.clock import CoarseClock


def test_the_clock_stands_still_between_ticks():
    clock = CoarseClock(5.0, 0)
    assert (clock.now, clock.date) == (5.0, b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
    clock.tick(6.5, 61)
    assert (clock.now, clock.date) == (6.5, b"Date: Thu, 01 Jan 1970 00:01:01 GMT\r\n")
