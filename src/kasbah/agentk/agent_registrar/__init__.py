"""Tells kas, again and again, that this pod is there and what it is."""

from __future__ import annotations
