"""One table from errors to answers."""

from __future__ import annotations

import pytest

from kasbah.errors import Bug, PeerError, UserError
from kasbah.hub import errors
from kasbah.hub.http_errors import INTERNAL, answer_for
from kasbah.hub.rest.body import BodyFormatError, BodyTooLargeError
from kasbah.hub.rest.errors import ApiError, MethodNotAllowedError, NoRouteError, PreconditionFailedError
from kasbah.hub.rest.parameters import ParametersError


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (errors.UnauthenticatedError(), 401, {"message": "401 Unauthorized"}),
        (
            errors.UnauthenticatedError("Invalid session"),
            401,
            {"message": "401 Unauthorized - Invalid session"},
        ),
        (errors.ForbiddenError(), 403, {"message": "403 Forbidden"}),
        (errors.ForbiddenError("why"), 403, {"message": "403 Forbidden - why"}),
        (errors.ForbiddenError("just so", verbatim=True), 403, {"message": "just so"}),
        (errors.ForbiddenError(explanation="x"), 403, {"message": "403 Forbidden", "reason": "x"}),
        (errors.NotFoundError("Project"), 404, {"message": "404 Project Not Found"}),
        (errors.NotFoundError(), 404, {"message": "404 Not Found"}),
        (errors.RecordNotFoundError(), 404, {"message": "404 Not found"}),
        (errors.RefusedError("no"), 400, {"message": "400 Bad request - no"}),
        (errors.InvalidError(['a "b"']), 400, {"message": '400 Bad request - ["a \\"b\\""]'}),
        (errors.FieldsInvalidError({"a": ["b"]}), 400, {"message": {"a": ["b"]}}),
        (errors.TakenError("mine"), 409, {"message": "mine"}),
        (errors.UnprocessableError("no"), 422, {"message": "no"}),
        (errors.DatabaseUnavailableError("secret"), 503, {"message": "503 Service Unavailable"}),
        (ApiError(418, "tea"), 418, {"message": "tea"}),
        (NoRouteError(), 404, {"error": "404 Not Found"}),
        (PreconditionFailedError(), 412, {"message": "412 Precondition Failed"}),
        (ParametersError(["a is missing", "b is invalid"]), 400, {"error": "a is missing, b is invalid"}),
        (BodyFormatError(), 400, {"error": "message body does not match declared format"}),
        (BodyTooLargeError(), 413, {"error": "413 Request Entity Too Large"}),
        (UserError("hm"), 400, {"message": "400 Bad request - hm"}),
        (PeerError("x"), 503, {"message": "503 Service Unavailable"}),
    ],
)
def test_each_error_has_its_answer(error, status, body):
    answer = answer_for(error)
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (errors.TokenRevokedError(), "Token was revoked."),
        (errors.TokenExpiredError(), "Token is expired."),
    ],
)
def test_a_dead_token_is_told_why_in_body_and_header(error, start):
    answer = answer_for(error)
    assert answer.status == 401
    assert answer.body["error_description"].startswith(start)
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="Protected by OAuth 2.0", error=')


def test_the_allowed_methods_are_in_the_header():
    assert answer_for(MethodNotAllowedError({"PUT", "GET"})).headers == {"Allow": "GET, PUT"}


def test_a_bug_says_nothing_about_itself():
    assert answer_for(Bug("details")) is INTERNAL


def test_a_scope_that_lacks_is_explained_to_those_who_may_know():
    plain = answer_for(errors.InsufficientScopeError(("k8s_proxy",)))
    explained = answer_for(errors.InsufficientScopeError(("k8s_proxy",), explanation="x"))
    assert explained.body == {**plain.body, "reason": "x"}
