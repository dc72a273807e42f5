"""One table from what went wrong to what the client is told; the texts are GitLab's where it has one.

A stranger learns nothing: an unknown agent, an unknown token and a person who may not use the agent all get the same
401. Only who was allowed hears whether the agent is connected.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from kasbah.errors import KasbahError
from kasbah.kas.kubernetes_api.authorizer import TooManyQuestionsError
from kasbah.kas.kubernetes_api.directory import UNDECIDED, AccessDeniedError, UndecidedError
from kasbah.kit.secrets import scrub
from kasbah.wire import request_policy
from kasbah.wire.kubernetes_status import Failure
from kasbah.wire.request_policy import RefusedRequestError
from kasbah.wire.response_policy import RefusedResponseError
from kasbah.wire.stream import ResetCode

AGENT_NOT_FOUND: Final = "Agent connection not found. Is agent up to date and connected?"
_OUTBOUND = "Proxy failed to make outbound request"
_NESTED = "nested impersonation"
_MAX_PEER_TEXT = 256

_RESET_STATUS: Final[Mapping[int, int]] = {
    ResetCode.REFUSED: 503,
    ResetCode.DEADLINE: 504,
}
_RESET_TEXT: Final[Mapping[int, str]] = {
    ResetCode.CANCELLED: "the agent cancelled the request",
    ResetCode.REFUSED: "the agent did not take the request",
    ResetCode.UPSTREAM_UNREACHABLE: "the agent cannot reach the Kubernetes API server",
    ResetCode.UPSTREAM_FAILED: "the Kubernetes API server broke the exchange off",
    ResetCode.DEADLINE: "the Kubernetes API server did not answer in time",
    ResetCode.PROTOCOL: "the agent and the server do not understand each other",
    ResetCode.INTERNAL: "the agent failed",
    ResetCode.CONNECTION_LOST: "the connection to the agent was lost",
    ResetCode.FORBIDDEN: "the agent refuses the request",
}


def new_trace_id() -> str:
    """Names one failure in the client's message and in our log."""
    return secrets.token_hex(16)


def failure_of(error: KasbahError) -> Failure:
    """What the client is told about an error of ours."""
    trace_id = new_trace_id()
    match error:
        case RefusedRequestError(status=status):
            return Failure(code=status, text=str(error), trace_id=trace_id)
        case AccessDeniedError(status=status):
            return Failure(code=status, text=str(error), trace_id=trace_id)
        case TooManyQuestionsError():
            return Failure(
                code=503, text="Failed to authorize user session", trace_id=trace_id, retry_after_s=1
            )
        case RefusedResponseError():
            return Failure(code=502, text=f"{_OUTBOUND}: {error}", trace_id=trace_id)
        case UndecidedError(text=text):
            return Failure(code=500, text=text, trace_id=trace_id)
    # Something nobody thought of: refused.
    return Failure(code=500, text=UNDECIDED["session"], trace_id=trace_id)


def failure_of_reset(code: int, message: str) -> Failure:
    """What the client is told when the stream was reset before an answer."""
    text = _RESET_TEXT.get(code, "the agent failed")
    detail = scrub("".join(c for c in message[:_MAX_PEER_TEXT] if c.isprintable()))
    if code == ResetCode.FORBIDDEN and _NESTED in detail:
        return Failure(code=400, text=f"Bad request: {detail}", trace_id=new_trace_id())
    status = _RESET_STATUS.get(code, 502)
    return Failure(
        code=status,
        text=f"{_OUTBOUND}: {text}: {detail}" if detail else f"{_OUTBOUND}: {text}",
        trace_id=new_trace_id(),
        retry_after_s=1 if status == 503 else 0,
    )


def agent_not_connected() -> Failure:
    """Nobody holds a tunnel for the agent."""
    return Failure(code=502, text=f"{_OUTBOUND}: {AGENT_NOT_FOUND}", trace_id=new_trace_id())


def agent_away() -> Failure:
    """The agent was connected just now; nothing was done, or nothing that matters, so clients may ask again."""
    text = f"{_OUTBOUND}: the agent is not connected just now and is expected back; try again"
    return Failure(code=503, text=text, trace_id=new_trace_id(), retry_after_s=1)


def agent_busy() -> Failure:
    """The agent is connected, and none of its tunnels came free in time."""
    text = f"{_OUTBOUND}: all tunnels of the agent are busy; try again"
    return Failure(code=503, text=text, trace_id=new_trace_id(), retry_after_s=1)


def too_many_requests() -> Failure:
    """A limit of this principal or agent is reached."""
    text = "Too many requests of yours or to this agent are under way; try again"
    return Failure(code=429, text=text, trace_id=new_trace_id(), retry_after_s=1)


def nested_impersonation() -> Failure:
    """The client names an identity where the configuration has named one already."""
    return Failure(code=400, text=request_policy.NESTED_IMPERSONATION, trace_id=new_trace_id())


def not_recorded() -> Failure:
    """The request would change something, and its record cannot be written."""
    text = "The request cannot be recorded for audit, so it was not sent; try again"
    return Failure(code=503, text=text, trace_id=new_trace_id(), retry_after_s=1)


def body_too_large(max_bytes: int) -> Failure:
    """The request's body is over the limit."""
    return Failure(code=413, text=f"The request's body is over {max_bytes} bytes", trace_id=new_trace_id())


def opening_too_large() -> Failure:
    """The head fits HTTP and not a frame."""
    return Failure(code=431, text="The request's head is too large", trace_id=new_trace_id())


def not_running() -> Failure:
    """The proxy is starting or stopping."""
    text = "The server is starting or stopping; try again"
    return Failure(code=503, text=text, trace_id=new_trace_id(), retry_after_s=1)


def wrong_prefix() -> Failure:
    """The path is not below the proxy's prefix."""
    return Failure(
        code=400, text="Bad request: URL does not start with expected prefix", trace_id=new_trace_id()
    )


def answer_late() -> Failure:
    """The answer did not begin within the deadline."""
    text = f"{_OUTBOUND}: {_RESET_TEXT[ResetCode.DEADLINE]}"
    return Failure(code=504, text=text, trace_id=new_trace_id())


def answer_missing() -> Failure:
    """The stream ended where an answer should have begun."""
    return Failure(code=502, text=f"{_OUTBOUND}: the agent ended without an answer", trace_id=new_trace_id())
