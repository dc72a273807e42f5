"""All behaviours: importing a file of them enters them into the list."""

from __future__ import annotations

from tests.e2e.conformance import (
    clusterwide,
    protocol,
    reading,
    streams,
    watching,
    with_helm,
    with_kubectl,
    writing,
)
from tests.e2e.conformance.behaviour import ALL, Behaviour

__all__ = [
    "ALL",
    "Behaviour",
    "clusterwide",
    "protocol",
    "reading",
    "streams",
    "watching",
    "with_helm",
    "with_kubectl",
    "writing",
]
