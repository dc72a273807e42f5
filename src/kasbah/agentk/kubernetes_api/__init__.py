"""Relays Kubernetes API requests that kas opens to the API server, and adds the identity last."""

from __future__ import annotations
