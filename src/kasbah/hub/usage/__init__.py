"""Counters that kas reports: how much the proxy and the push notices are used."""

from __future__ import annotations
