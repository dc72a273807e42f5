"""Probes and metrics of kas, on an address of their own."""

from __future__ import annotations
