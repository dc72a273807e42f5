"""Chance, for those who should not all do the same at the same moment; never for secrets."""

from __future__ import annotations

import random


def chance() -> float:
    """A number from 0 up to, but never, 1."""
    return random.random()  # noqa: S311 - nobody gains by guessing it
