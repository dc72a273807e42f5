"""The Lease object (coordination.k8s.io/v1): what we read of it, and what we write into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

API_VERSION: Final = "coordination.k8s.io/v1"

LeaseObject = Mapping[str, Any]
"""As JSON has it. What we do not know stays in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """Who leads, since when."""

    holder: str
    """The leader's identity; empty: it was given back."""
    duration_s: int
    acquired: str
    """Times are the writer's, and nobody compares them with a clock."""
    renewed: str
    transitions: int
    """How many leaders there were before."""


def read(lease: LeaseObject) -> LeaseRecord:
    """The record in a Lease."""
    spec = lease.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration_s=spec.get("leaseDurationSeconds") or 0,
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        transitions=spec.get("leaseTransitions") or 0,
    )


def new(name: str, record: LeaseRecord) -> LeaseObject:
    """A Lease to create."""
    return with_record({"apiVersion": API_VERSION, "kind": "Lease", "metadata": {"name": name}}, record)


def with_record(lease: LeaseObject, record: LeaseRecord) -> LeaseObject:
    """The same Lease with another record; its resource version makes the API server refuse what is overtaken."""
    spec = {
        **(lease.get("spec") or {}),
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration_s,
        "acquireTime": record.acquired,
        "renewTime": record.renewed,
        "leaseTransitions": record.transitions,
    }
    return {**lease, "spec": spec}


def timestamp(now: datetime) -> str:
    """A time (UTC) as Kubernetes' MicroTime."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
