from __future__ import annotations

from kasbah.kas.session_recording.settings import SessionRecordingSettings


def test_nothing_is_recorded_unless_somebody_says_where_and_never_what_is_typed():
    settings = SessionRecordingSettings()
    assert settings.directory is None
    assert not settings.with_input
