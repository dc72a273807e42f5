"""What a service of the hub may refuse with.

Services know no HTTP: they raise these, and `http_errors` turns each into the status and the body GitLab's REST API
gives. The wording of the messages is part of the interface (clients compare it).
"""

from __future__ import annotations

from collections.abc import Sequence

from kasbah.errors import PeerError, UserError


class UnauthenticatedError(UserError):
    """The credential is missing or unknown."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class TokenRevokedError(UnauthenticatedError):
    """The token was revoked: create another one."""


class TokenExpiredError(UnauthenticatedError):
    """The token's date has come: create another one."""


class AccountBlockedError(UserError):
    """The account was blocked by an administrator."""


class InsufficientScopeError(UserError):
    """The token is good, but not for this."""

    def __init__(self, required: Sequence[str], *, explanation: str = "") -> None:
        super().__init__(f"the token needs one of the scopes {', '.join(required)}")
        self.required = tuple(required)
        self.explanation = explanation


class ForbiddenError(UserError):
    """The caller may see the thing but not do this to it."""

    def __init__(self, reason: str = "", *, verbatim: bool = False, explanation: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.verbatim = verbatim
        self.explanation = explanation
        """What else this caller may hear, in words of ours."""


class NotFoundError(UserError):
    """The thing is absent, or the caller may not know of it: the two answer alike."""

    def __init__(self, what: str = "") -> None:
        super().__init__(f"{what} not found".strip())
        self.what = what


class RecordNotFoundError(UserError):
    """No record has this id below the thing named before it."""


class RefusedError(UserError):
    """A rule forbids the change; the message says which."""


class InvalidError(UserError):
    """The record would break its own rules; one sentence each."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = tuple(messages)


class FieldsInvalidError(UserError):
    """The record would break its own rules; sentences by field."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name} {text}" for name, texts in fields.items() for text in texts))
        self.fields = fields


class TakenError(UserError):
    """Somebody else has the name."""


class UnprocessableError(UserError):
    """The request is well formed, and the service does not take it."""


class DatabaseUnavailableError(PeerError):
    """The database cannot be read or written now; nothing was changed."""


class RepositoryUnavailableError(PeerError):
    """The repository cannot be made now; nothing was changed."""
