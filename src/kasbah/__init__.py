"""Kasbah connects Kubernetes clusters that nobody can dial to the people and repositories that must reach them."""

from __future__ import annotations

__version__ = "0.1.0"
