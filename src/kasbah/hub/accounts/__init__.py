"""People and their personal access tokens: who is calling, and what the token in hand is good for."""

from __future__ import annotations
