"""Agent pods say that they are there, and that they leave."""

from __future__ import annotations
