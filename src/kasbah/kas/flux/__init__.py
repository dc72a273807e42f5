"""Tells agents of pushes to the projects that their Flux watches."""

from __future__ import annotations
