"""Desired state to plan, apply, wait, prune."""

from __future__ import annotations
