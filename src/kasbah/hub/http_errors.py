"""The one table from errors to REST answers, byte for byte GitLab's.

Services raise `hub.errors`, the REST layer `rest.errors`; nobody below this edge knows a status code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from kasbah.errors import KasbahError, PeerError, UserError
from kasbah.hub import errors
from kasbah.hub.rest import body, parameters
from kasbah.hub.rest import errors as rest_errors

_REALM: Final = 'Bearer realm="Protected by OAuth 2.0"'
_REVOKED: Final = "Token was revoked. You have to re-authorize from the user."
_EXPIRED: Final = "Token is expired. You can either do re-authorization or token refresh."
_SCOPE: Final = "The request requires higher privileges than provided by the access token."


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What a client is told."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


def _message(status: int, text: object) -> ErrorAnswer:
    return ErrorAnswer(status, {"message": text})


def _invalid_token(description: str) -> ErrorAnswer:
    challenge = f'{_REALM}, error="invalid_token", error_description="{description}"'
    document = {"error": "invalid_token", "error_description": description}
    return ErrorAnswer(401, document, {"WWW-Authenticate": challenge})


def _insufficient_scope(error: errors.InsufficientScopeError) -> ErrorAnswer:
    scope = " ".join(error.required)
    challenge = f'{_REALM}, error="insufficient_scope", error_description="{_SCOPE}", scope="{scope}"'
    document = {"error": "insufficient_scope", "error_description": _SCOPE, "scope": scope}
    return ErrorAnswer(403, _explained(document, error), {"WWW-Authenticate": challenge})


def _with_reason(start: str, reason: str) -> str:
    return f"{start} - {reason}" if reason else start


def _ruby_list(messages: tuple[str, ...]) -> str:
    """GitLab interpolates a Ruby array into the message; JSON writes such a list the same way but for the spaces."""
    return "[" + ", ".join(msgspec.json.encode(message).decode() for message in messages) + "]"


def _explained(
    document: dict[str, str], error: errors.ForbiddenError | errors.InsufficientScopeError
) -> dict[str, str]:
    """With `reason` beside GitLab's words, when this caller may know it."""
    return {**document, "reason": error.explanation} if error.explanation else document


def _forbidden(error: errors.ForbiddenError) -> ErrorAnswer:
    text = error.reason if error.verbatim else _with_reason("403 Forbidden", error.reason)
    return ErrorAnswer(403, _explained({"message": text}, error))


def _not_allowed(error: rest_errors.MethodNotAllowedError) -> ErrorAnswer:
    return ErrorAnswer(405, {"error": "405 Not Allowed"}, {"Allow": ", ".join(error.allowed)})


_BLOCKED: Final = "Your account has been blocked."

# From the particular to the general: the first class that fits answers.
_TABLE: Final[tuple[tuple[type[KasbahError], Callable[[Any], ErrorAnswer]], ...]] = (
    (errors.TokenRevokedError, lambda _: _invalid_token(_REVOKED)),
    (errors.TokenExpiredError, lambda _: _invalid_token(_EXPIRED)),
    (
        errors.UnauthenticatedError,
        lambda error: _message(401, _with_reason("401 Unauthorized", error.reason)),
    ),
    (errors.AccountBlockedError, lambda _: _message(403, _with_reason("403 Forbidden", _BLOCKED))),
    (errors.InsufficientScopeError, _insufficient_scope),
    (errors.ForbiddenError, _forbidden),
    (errors.NotFoundError, lambda error: _message(404, f"404 {error.what} Not Found".replace("  ", " "))),
    (errors.RecordNotFoundError, lambda _: _message(404, "404 Not found")),
    (errors.RefusedError, lambda error: _message(400, f"400 Bad request - {error}")),
    (errors.InvalidError, lambda error: _message(400, f"400 Bad request - {_ruby_list(error.messages)}")),
    (errors.FieldsInvalidError, lambda error: _message(400, error.fields)),
    (errors.TakenError, lambda error: _message(409, str(error))),
    (errors.UnprocessableError, lambda error: _message(422, str(error))),
    (rest_errors.ApiError, lambda error: _message(error.status, str(error))),
    (rest_errors.NoRouteError, lambda _: ErrorAnswer(404, {"error": "404 Not Found"})),
    (rest_errors.MethodNotAllowedError, _not_allowed),
    (rest_errors.PreconditionFailedError, lambda _: _message(412, "412 Precondition Failed")),
    (rest_errors.KasCredentialError, lambda error: _message(401, str(error))),
    (parameters.ParametersError, lambda error: ErrorAnswer(400, {"error": str(error)})),
    (body.BodyFormatError, lambda error: ErrorAnswer(400, {"error": str(error)})),
    (body.MediaTypeError, lambda error: ErrorAnswer(415, {"error": str(error)})),
    (body.BodyTooLargeError, lambda _: ErrorAnswer(413, {"error": "413 Request Entity Too Large"})),
    (UserError, lambda error: _message(400, f"400 Bad request - {error}")),
    (PeerError, lambda _: _message(503, "503 Service Unavailable")),
)

INTERNAL: Final = _message(500, "500 Internal Server Error")
"""Our own bugs: the log says more."""


def answer_for(error: KasbahError) -> ErrorAnswer:
    """The status, body and headers an error of ours becomes."""
    for kind, render in _TABLE:
        if isinstance(error, kind):
            return render(error)
    return INTERNAL
