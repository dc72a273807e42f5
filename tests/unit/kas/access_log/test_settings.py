from __future__ import annotations

from kasbah.kas.access_log.settings import AccessLogSettings


def test_there_is_no_access_log_until_somebody_says_where():
    assert not AccessLogSettings().file
