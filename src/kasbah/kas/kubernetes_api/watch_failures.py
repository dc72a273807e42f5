"""What the last event of a watch says, when it can neither go on nor be taken up again."""

from __future__ import annotations

from kasbah.kas.kubernetes_api.errors import new_trace_id
from kasbah.wire.kubernetes_status import Failure

_INTERRUPTED = "The watch was interrupted"


def expired() -> Failure:
    """Nobody can say what was missed: clients list again on this."""
    text = f"{_INTERRUPTED} at a point from which it cannot be resumed; list again, then watch"
    return Failure(code=410, text=text, trace_id=new_trace_id())


def refused(status: int) -> Failure:
    """The API server does not let it go on."""
    if status == 410:
        return expired()
    text = f"{_INTERRUPTED}, and the Kubernetes API server refuses to resume it with status {status}"
    return Failure(code=status, text=text, trace_id=new_trace_id())


def unreachable(*, connected: bool) -> Failure:
    """It has been tried for as long as it makes sense."""
    whom = "the Kubernetes API server did not answer" if connected else "the agent did not come back"
    return Failure(
        code=504 if connected else 503,
        text=f"{_INTERRUPTED}, and {whom} in time",
        trace_id=new_trace_id(),
        retry_after_s=0 if connected else 1,
    )
