"""Streams whose messages are one oneof: which arm may come first, which may follow which, and where it may end.

A table per message type stands in the room that speaks it; here is what walks it. Whoever breaks the order ends the
stream with INVALID_ARGUMENT, and the text names from, to and what was allowed. Knows no message and no stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kasbah.wire.rpc import RpcError, StatusCode

START: Final = "the start"
END: Final = "the end"
"""Stands in a table for the end of the stream."""

Automaton = Mapping[str, frozenset[str]]
"""Which arms may follow START and each arm; END where the stream may end."""


def automaton(start: str, **successors: str) -> Automaton:
    """A table from words: `automaton("header", header="data trailer", data="data trailer", trailer="EOF")`."""
    return {
        arm: frozenset(END if word == "EOF" else word for word in words.split())
        for arm, words in {START: start, **successors}.items()
    }


class Walk:
    """One stream's way through its automaton."""

    __slots__ = ("_allowed", "_at", "_automaton")

    def __init__(self, table: Automaton) -> None:
        self._automaton = table
        self._at = START
        self._allowed = table[START]

    def step(self, arm: str | None) -> None:
        """The next message has this arm, or none.

        Raises:
            RpcError: INVALID_ARGUMENT: it may not come here.
        """
        if arm is None or arm not in self._allowed:
            raise RpcError(StatusCode.INVALID_ARGUMENT, self._complaint(arm or "a message without an arm"))
        if arm != self._at:
            self._at = arm
            self._allowed = self._automaton[arm]

    def end(self) -> None:
        """The stream ends well.

        Raises:
            RpcError: INVALID_ARGUMENT: something is missing.
        """
        if END not in self._allowed:
            raise RpcError(StatusCode.INVALID_ARGUMENT, self._complaint(END))

    def _complaint(self, arm: str) -> str:
        allowed = ", ".join(sorted(self._allowed)) or "nothing"
        return f"{arm} may not follow {self._at}; allowed: {allowed}"
