"""What can go wrong with a chained log."""

from __future__ import annotations

from kasbah.errors import PeerError, UserError


class LogWriteError(PeerError):
    """The log cannot be written: the disk is full, gone or read-only."""


class LogBehindError(PeerError):
    """The disk does not keep up with what is written."""


class LogTakenError(UserError):
    """Another process writes this log."""


class LogUnreadableError(UserError):
    """The directory holds no chained log, or none that can be read."""
