"""The only room that talks to a Kubernetes API server."""

from __future__ import annotations
