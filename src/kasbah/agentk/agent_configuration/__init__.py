"""Receives the agent's configuration from kas and hands the newest to every module."""

from __future__ import annotations
