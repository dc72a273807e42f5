"""Which of an agent's pods runs what only one may run: by a Lease, as Kubernetes' own controllers do it."""

from __future__ import annotations
