from __future__ import annotations

import pytest

from kasbah.errors import KasbahError
from kasbah.kas.kubernetes_api import errors
from kasbah.kas.kubernetes_api.authorizer import AccessDeniedError, TooManyQuestionsError, UndecidedError
from kasbah.wire.request_policy import RefusedRequestError
from kasbah.wire.response_policy import RefusedResponseError
from kasbah.wire.stream import ResetCode


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (RefusedRequestError(400, "Bad request: x"), 400, "Bad request: x"),
        (AccessDeniedError("Unauthorized"), 401, "Unauthorized"),
        (
            AccessDeniedError("Forbidden: agentId is not allowed", status=403),
            403,
            "Forbidden: agentId is not allowed",
        ),
        (UndecidedError("hub is away"), 500, "Failed to authorize user session"),
        (
            UndecidedError("hub is away", text="Failed to get allowed agents"),
            500,
            "Failed to get allowed agents",
        ),
        (TooManyQuestionsError("busy"), 503, "Failed to authorize user session"),
        (RefusedResponseError("a redirect"), 502, "Proxy failed to make outbound request: a redirect"),
        (KasbahError("unheard of"), 500, "Failed to authorize user session"),
    ],
)
def test_each_error_has_its_status_and_its_words(error, code, text):
    failure = errors.failure_of(error)
    assert (failure.code, failure.text) == (code, text)
    assert len(failure.trace_id) == 32


@pytest.mark.parametrize("code", ResetCode)
def test_each_reset_is_told(code):
    failure = errors.failure_of_reset(code, "")
    assert 500 <= failure.code < 600
    assert failure.text.startswith("Proxy failed to make outbound request: the ")


def test_an_unknown_reset_is_a_bad_gateway():
    assert errors.failure_of_reset(1014, "").code == 502


def test_a_refused_stream_may_be_tried_again():
    assert errors.failure_of_reset(ResetCode.REFUSED, "").retry_after_s == 1


def test_nested_impersonation_is_the_clients_fault():
    failure = errors.failure_of_reset(ResetCode.FORBIDDEN, "nested impersonation is not supported")
    assert failure.code == 400


def test_what_the_agent_says_is_short_printable_and_holds_no_secret():
    failure = errors.failure_of_reset(ResetCode.INTERNAL, "glpat-aaaaaaaaaaaaaaaaaaaa\r\n" + "x" * 1000)
    assert "glpat" not in failure.text
    assert "\r" not in failure.text
    assert len(failure.text) < 400


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (errors.agent_not_connected(), 502),
        (errors.agent_busy(), 503),
        (errors.too_many_requests(), 429),
        (errors.body_too_large(10), 413),
        (errors.opening_too_large(), 431),
        (errors.not_running(), 503),
        (errors.wrong_prefix(), 400),
        (errors.answer_late(), 504),
        (errors.answer_missing(), 502),
    ],
)
def test_our_own_failures_have_their_statuses(failure, code):
    assert failure.code == code
