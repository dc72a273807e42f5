from __future__ import annotations

from kasbah.kas.kubernetes_api import grant
from kasbah.kas.kubernetes_api.watches import WatchOpener
from kasbah.wire import http1, request_policy
from kasbah.wire.stream import StreamClass
from tests.doubles.loopback_agent import LoopbackAgent
from tests.doubles.people import access_of_mia


class Deaf:
    """A `StreamHandler` that hears nothing."""

    def head_received(self, head: bytes) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def reset(self, code: int, message: str) -> None: ...

    def writable(self) -> None: ...


def test_a_watch_is_opened_where_the_agent_is():
    head = http1.request_head(
        b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer pat:7:good\r\n\r\n"
    )
    agent, granted = LoopbackAgent(), grant.issue("g", access_of_mia(), deadline_ms=1)
    request = request_policy.prepare(head, 0)
    opening = granted.envelope_for(upgrade="", open_ended=True) + request.head
    assert WatchOpener(agent).open_nowait(granted, request, opening, Deaf())
    assert agent.streams[0].stream_class is StreamClass.WATCH
