from __future__ import annotations

from kasbah.kas.tracing.settings import TracingSettings


def test_nobody_collects_until_somebody_says_where():
    assert not TracingSettings().otlp_endpoint
