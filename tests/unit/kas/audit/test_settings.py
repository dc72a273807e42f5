from __future__ import annotations

from kasbah.kas.audit.settings import AuditSettings


def test_there_is_no_log_until_somebody_says_where_and_then_it_holds_everything():
    assert AuditSettings().directory is None
    assert AuditSettings().reads
