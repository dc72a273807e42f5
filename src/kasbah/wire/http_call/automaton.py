"""Which message may follow which in an HTTP exchange."""

from __future__ import annotations

from typing import Final

from kasbah.wire.automaton import automaton

HTTP_REQUEST: Final = automaton(
    "header",
    header="data trailer",
    data="data trailer",
    trailer="upgradeData EOF",
    upgradeData="upgradeData EOF",
)
"""What the caller says."""
HTTP_RESPONSE: Final = HTTP_REQUEST
"""What the callee says: the same."""
