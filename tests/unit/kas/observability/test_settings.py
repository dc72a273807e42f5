"""Where probes and metrics are."""

from __future__ import annotations

from kasbah.kas.observability.settings import ObservabilitySettings


def test_the_paths_are_gitlabs():
    settings = ObservabilitySettings()
    assert (settings.metrics_path, settings.liveness_path) == ("/metrics", "/liveness")
    assert settings.readiness_path == "/readiness"
