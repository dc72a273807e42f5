"""Reads and serves bare Git repositories: refs, trees, smart HTTP."""

from __future__ import annotations
