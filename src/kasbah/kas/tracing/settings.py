"""Who collects traces."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from kasbah.kit.secrets import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingSettings:
    otlp_endpoint: str = ""
    """The collector's URL for traces, such as `http://localhost:4318/v1/traces`; empty: nobody collects."""
    token: Secret = Secret("")  # noqa: RUF009 - it cannot be changed
    """Sent to the collector as a bearer token."""
    tls: ssl.SSLContext | None = None
    """Whom to trust; None: the system's authorities."""
    max_waiting: int = 2048
    """Spans that wait to be sent; more are dropped and counted."""
    period_s: float = 1.0
    """How often what came together is sent."""
    timeout_s: float = 5.0
    """For one answer of the collector."""
