"""Whose fault: the three roots of every error of ours.

The ground floor; imports nothing. Rooms derive their own classes beside the code that raises them, and only when
somebody catches or maps them. The text of an error is fit to be shown: it says what failed, with which value, and
what to do, and never holds a secret.
"""

from __future__ import annotations


class KasbahError(Exception):
    """Something failed; the class says whose fault it was."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0])


class UserError(KasbahError):
    """A person's input cannot be used; nothing was changed."""


class PeerError(KasbahError):
    """The other side failed, broke the contract, or is away.

    Attributes:
        retryable: whether the same call may succeed later without anybody changing anything.
    """

    def __init__(self, message: str = "", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class Bug(KasbahError):  # noqa: N818 - "whose fault" reads better than an -Error suffix
    """We broke our own rules; please report it."""
