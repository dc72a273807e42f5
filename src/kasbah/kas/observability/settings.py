"""Where probes and metrics are: GitLab's paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilitySettings:
    metrics_path: str = "/metrics"
    """What Prometheus scrapes."""
    liveness_path: str = "/liveness"
    """Answered while the loop turns."""
    readiness_path: str = "/readiness"
    """Answered with an error while kas is not ready, or stops."""
