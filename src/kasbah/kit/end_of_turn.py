"""Lets many connections write at the end of the loop's turn, one behind the other.

What one turn has to say to one peer becomes one system call; and the writes follow each other at once, so the readers
on the other side are woken together and not one by one.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Flushable(Protocol):
    """Has something to write."""

    def flush(self) -> None: ...


class EndOfTurn:
    """Those of one owner that wait for the end of this turn."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Flushable] = []

    def flush(self, connection: Flushable) -> None:
        """Flush it at the end of this turn; once for each time it is given."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(connection)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.flush()
