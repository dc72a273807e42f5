from __future__ import annotations

from kasbah.kit.chained_log.settings import ChainedLogSettings


def test_what_is_kept_is_many_segments_and_what_may_be_lost_few():
    settings = ChainedLogSettings()
    assert settings.keep_bytes >= 100 * settings.segment_bytes
    assert settings.max_unsynced_bytes <= 8 * settings.segment_bytes
