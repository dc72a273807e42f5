"""What crosses a connection: messages, frames, state machines, identities. No I/O, no clock."""

from __future__ import annotations
