"""Which message may follow which in a tunnel."""

from __future__ import annotations

from typing import Final

from kasbah.wire.automaton import automaton

CONNECT_REQUEST: Final = automaton(
    "descriptor",
    descriptor="header error",
    header="message trailer",
    message="message trailer",
    trailer="error EOF",
    error="EOF",
)
"""What agentk says."""
CONNECT_RESPONSE: Final = automaton(
    "request_info EOF",
    request_info="message close_send EOF",
    message="message close_send EOF",
    close_send="EOF",
)
"""What kas says. It ends before `request_info` when there was nothing to do, and before `close_send` to break off."""
