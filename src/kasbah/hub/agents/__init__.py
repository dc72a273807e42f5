"""Agents, their tokens, and the authorisations their configuration files grant."""

from __future__ import annotations
