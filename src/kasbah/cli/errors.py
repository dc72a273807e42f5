"""What can go wrong on a command line, and the exit code that tells a script which it was."""

from __future__ import annotations

from kasbah.errors import KasbahError, PeerError, UserError


class UsageError(UserError):
    """The command line itself is wrong."""


class NotFoundError(UserError):
    """What was named does not exist, or this token may not see it."""


class NotAllowedError(UserError):
    """Nobody is logged in, or the token may not do this."""


class UnreachableError(PeerError):
    """The host did not answer, or not over a connection we may trust."""


EXIT_CODES: tuple[tuple[type[KasbahError], int], ...] = (
    (UsageError, 2),
    (NotFoundError, 3),
    (NotAllowedError, 4),
    (UnreachableError, 5),
    (KasbahError, 1),
)
"""The first class that fits decides; documented in docs/reference/command-line.md."""


def exit_code(error: KasbahError) -> int:
    """The exit code of a command that ended with this error."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
