"""A look at what passes through an upgraded connection: whoever records sessions gets a copy of its bytes.

A tap is told after the bytes have left. It cannot change, delay or end anything.
"""

from __future__ import annotations

from typing import Protocol

from kasbah.kas.kubernetes_api.record import RequestRecord


class Tap(Protocol):
    """Hears one connection. None of this may raise."""

    def from_client(self, data: bytes) -> None: ...

    def from_cluster(self, data: bytes) -> None: ...

    def ended(self) -> None: ...


class SessionRecorder(Protocol):
    """Decides which connections are heard."""

    def tap(self, record: RequestRecord, head: bytes) -> Tap | None:
        """For the connection that this 101 opens; None: nobody wants to hear it."""


class NoRecorder:
    """Hears nothing."""

    def tap(self, record: RequestRecord, head: bytes) -> Tap | None:
        del record, head
        return None
