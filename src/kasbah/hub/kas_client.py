"""The hub's only door to kas: what the hub tells it, never what it asks.

Composition plugs the implementation in; the hub never imports kas. A notice is a hint: losing one costs a delay, so a
failing kas must not fail a push.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class GitPushEvent:
    """Refs of a project's repository changed."""

    project_id: int
    full_path: str


class KasClient(Protocol):
    """What the hub may tell kas."""

    async def git_push(self, event: GitPushEvent) -> None:
        """Tell the agents that watch the project."""


class NullKasClient:
    """Nobody to tell: a hub that runs without kas beside it."""

    async def git_push(self, event: GitPushEvent) -> None:
        """Say nothing."""
