"""Which agents a project configures, from the files in its repository."""

from __future__ import annotations
