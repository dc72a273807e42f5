"""The only room that talks to a Kubernetes API server: access, connections, one thin client."""

from __future__ import annotations
