"""What can keep a benchmark from running."""

from __future__ import annotations

from kasbah.errors import UserError


class BenchError(UserError):
    """This cannot be measured here."""
