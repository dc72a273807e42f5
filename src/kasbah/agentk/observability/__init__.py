"""Probes, metrics, and the log level that the configuration asks for."""

from __future__ import annotations
