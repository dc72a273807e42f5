"""What can go wrong while the story is told."""

from __future__ import annotations

from kasbah.errors import PeerError, UserError


class StoryError(PeerError):
    """A command of the story failed; the text holds what it said."""


class DeclinedError(UserError):
    """The person did not want their cluster to be written to."""
