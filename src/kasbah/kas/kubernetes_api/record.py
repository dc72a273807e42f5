"""What is written down of one proxied request: who, what, when, and how it ended.

The exchange fills it in while the request runs; the journal reads it. Nothing is formatted here: most requests pass
thousands of times a second, and only what somebody asked for is made into words.
"""

from __future__ import annotations

import random
import time
from typing import Final, Literal, Protocol

from kasbah.errors import PeerError
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.wire.request_policy import ProxyRequest

Outcome = Literal["", "completed", "refused", "cancelled", "cut", "broken"]
"""Empty while it runs. `refused`: kas answered in the cluster's place. `cancelled`: the client left. `cut`: its lease ended.
`broken`: the way to the cluster broke after the answer had begun."""

READING_VERBS: Final = frozenset({"get", "list", "watch", "options"})


class RequestRecord:
    """One request, from its grant to its end.

    Attributes:
        request_id: 32 hexadecimal digits of ours; the API server's own audit log has it as `auditID`.
        trace_id: of the trace the request belongs to: the client's `traceparent`, or the request's id.
        started_at: seconds of the monotonic clock.
        status: the answer's; 0 before there is one.
        received: bytes of body, or of the upgraded connection, from the client.
        sent: the same to the client.
        outcome: how it ended.
    """

    __slots__ = (
        "client_address",
        "grant",
        "outcome",
        "received",
        "request",
        "request_id",
        "sent",
        "started_at",
        "status",
        "trace_id",
        "user_agent",
    )

    def __init__(self, request: ProxyRequest, client_address: str, user_agent: bytes) -> None:
        self.request_id = f"{random.getrandbits(128):032x}"
        self.trace_id = request.trace_id or self.request_id
        self.started_at = time.monotonic()
        self.request = request
        self.grant: Grant | None = None
        self.client_address = client_address
        self.user_agent = user_agent
        self.status = 0
        self.received = 0
        self.sent = 0
        self.outcome: Outcome = ""

    @property
    def mutating(self) -> bool:
        """Whether it may change something, so that its record must be durable: writes, and whatever opens a pipe."""
        request = self.request
        return bool(request.upgrade) or request.target.verb not in READING_VERBS


class JournalUnavailableError(PeerError):
    """The record cannot be written, so the request must not be sent."""


class Journal(Protocol):
    """Writes requests down: for audit, for the access log."""

    def begun(self, record: RequestRecord) -> None:
        """A mutating request is about to leave for its agent, perhaps again. On return its record outlives this process.

        Raises:
            JournalUnavailableError: it could not be written.
        """

    def answered(self, record: RequestRecord, then: AnswerHolder) -> bool:
        """A mutating request has its answer's status. True: the record is durable. False: it soon is, and `then` is told."""

    def ended(self, record: RequestRecord) -> None:
        """The request is over, whatever it was."""


class AnswerHolder(Protocol):
    """Holds an answer back until its record is durable."""

    def record_durable(self) -> None:
        """Go on."""


class NoJournal:
    """Nobody wants to know."""

    def begun(self, record: RequestRecord) -> None: ...

    def answered(self, record: RequestRecord, then: AnswerHolder) -> bool:
        del record, then
        return True

    def ended(self, record: RequestRecord) -> None: ...
