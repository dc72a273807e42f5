"""Browsers at the Kubernetes API proxy: the cookie kas takes for a person, and the CSRF token that belongs to it."""

from __future__ import annotations
