"""Tells whoever waits in this process that something happened on the Git side."""

from __future__ import annotations
