"""What is written down of one proxied request: who, what, when, and how it ended.

The exchange fills it in while the request runs; the journal reads it. Nothing is formatted here: most requests pass
thousands of times a second, and only what somebody asked for is made into words.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Final, Literal, Protocol

from kasbah.errors import PeerError
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.wire.http1 import RequestHead
from kasbah.wire.request_policy import ProxyRequest

Outcome = Literal["", "completed", "refused", "cancelled", "cut", "broken"]
"""Empty while it runs. `refused`: kas answered in the cluster's place. `cancelled`: the client left. `cut`: its lease ended.
`broken`: the way to the cluster broke after the answer had begun."""


class RequestRecord:
    """One request, from its grant to its end.

    Attributes:
        attempts: how often it was about to leave for its agent, counted by the journal.
        request_id: 32 hexadecimal digits of ours; the API server's own audit log has it as `auditID`.
        trace_id: of the trace the request belongs to: the client's `traceparent`, or the request's id.
        started_at: seconds of the monotonic clock.
        status: the answer's; 0 before there is one.
        received: bytes of body, or of the upgraded connection, from the client.
        sent: the same to the client.
        mutating: whether it may change something, so that its record must be durable: whatever is not a plain GET or HEAD.
        outcome: how it ended.
    """

    __slots__ = (
        "attempts",
        "client_address",
        "grant",
        "mutating",
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
        self.request_id = _next_id()
        self.trace_id = request.trace_id or self.request_id
        self.started_at = time.monotonic()
        self.request = request
        # By the method and not by the verb: a DELETE below the old prefix `watch` has the verb watch.
        self.mutating = not request.repeatable or request.target.verb == "proxy"
        self.attempts = 0
        self.grant: Grant | None = None
        self.client_address = client_address
        self.user_agent = user_agent
        self.status = 0
        self.received = 0
        self.sent = 0
        self.outcome: Outcome = ""


def _ids() -> Iterator[str]:
    """Random ids without end: made by the hundred, because one alone costs as much as reading a head."""
    while True:
        digits = f"{random.getrandbits(128 * 256):08192x}"
        for start in range(0, len(digits), 32):
            yield digits[start : start + 32]


_next_id: Final = _ids().__next__


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

    def turned_away(self, head: RequestHead, client_address: str, status: int) -> None:
        """A request was refused before anything of it was understood; it has no record."""


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

    def turned_away(self, head: RequestHead, client_address: str, status: int) -> None: ...


class ObservedJournal:
    """A journal with others that want to know of ends alone."""

    def __init__(self, journal: Journal, observers: Sequence[Journal]) -> None:
        self.begun = journal.begun
        self.answered = journal.answered
        self._all = (journal, *observers)

    def ended(self, record: RequestRecord) -> None:
        for journal in self._all:
            journal.ended(record)

    def turned_away(self, head: RequestHead, client_address: str, status: int) -> None:
        for journal in self._all:
            journal.turned_away(head, client_address, status)
