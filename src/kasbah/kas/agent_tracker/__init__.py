"""Which agent pods are connected, as they say themselves."""

from __future__ import annotations
