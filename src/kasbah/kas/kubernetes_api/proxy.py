"""The Kubernetes API below the proxy's prefix: what every request passes before it may reach an agent.

Foreign pages are turned away, preflights answered, heads cleaned by the request policy; what a browser sends along by
itself, its cookie, counts only where `browsers` says so. What is left becomes a `ProxyExchange`. The proxy owns the tasks
of exchanges that must wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Final

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.http_server.exchange import Client, Exchange, NullExchange
from kasbah.kas.kubernetes_api import errors
from kasbah.kas.kubernetes_api.answers import answer_failure
from kasbah.kas.kubernetes_api.authorizer import Authorizer
from kasbah.kas.kubernetes_api.browsers import FORBIDDEN, Browsers
from kasbah.kas.kubernetes_api.directory import Directory
from kasbah.kas.kubernetes_api.exchange import ProxyExchange
from kasbah.kas.kubernetes_api.lease import LeaseKeeper
from kasbah.kas.kubernetes_api.limits import Underway
from kasbah.kas.kubernetes_api.owner import Tunnels, Usage
from kasbah.kas.kubernetes_api.record import Journal, NoJournal
from kasbah.kas.kubernetes_api.refusals import Explainer, NoExplainer
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.kubernetes_api.tap import NoRecorder, SessionRecorder
from kasbah.kas.kubernetes_api.watches import WatchOpener
from kasbah.kas.reverse_tunnel.registry import Waiter
from kasbah.wire import request_policy, response_policy
from kasbah.wire.http1 import RequestHead
from kasbah.wire.kubernetes_status import Failure
from kasbah.wire.request_policy import RefusedRequestError
from kasbah.wire.response_policy import SECURITY_HEADERS

_NOBODY: Final = NullExchange()
_LOOK_S: Final = 0.02
_METHODS = b"GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"  # GitLab's list


class KubernetesApiProxy:
    """Answers below the prefix; `exchange` is its `Route`."""

    def __init__(
        self,
        directory: Directory,
        tunnels: Tunnels,
        clock: CoarseClock,
        *,
        prefix: bytes,
        usage: Usage,
        settings: KubernetesApiSettings | None = None,
        journal: Journal | None = None,
        explainer: Explainer | None = None,
        recorder: SessionRecorder | None = None,
    ) -> None:
        """`prefix` ends with a slash; `clock` is the server's; `usage` counts."""
        self.settings = settings or KubernetesApiSettings()
        self.authorizer = Authorizer(directory, self.settings, clock)
        self.leases = LeaseKeeper(self.authorizer, self.settings, clock)
        self.underway = Underway(self.settings)
        self.tunnels = tunnels
        self.watches = WatchOpener(tunnels, self.settings, clock)
        self.journal: Journal = journal or NoJournal()
        self.explainer: Explainer = explainer or NoExplainer()
        self.recorder: SessionRecorder = recorder or NoRecorder()
        self.usage = usage
        self.seeking: set[Waiter] = set()
        self._prefix = prefix
        self._prefix_bytes = len(prefix) - 1  # Kubernetes' path keeps the slash
        self._browsers = Browsers(self.settings.external_origin)
        self._group: asyncio.TaskGroup | None = None

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Own what waits, and the leases, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            started = asyncio.Event()
            group.create_task(self.authorizer.run(started.set), name="authorizer")
            group.create_task(self.leases.run(), name="leases")
            group.create_task(self.watches.run(), name="watches")
            await started.wait()
            try:
                ready()
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def sent(self) -> None:
        """Wait until every request that was let in is on its way to its agent or answered, as long as that may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.authorization_timeout_s + self.settings.agent_wait_s):
                while self.seeking:  # noqa: ASYNC110 - looking now and then costs the requests nothing
                    await asyncio.sleep(_LOOK_S)

    def exchange(self, head: RequestHead, client: Client) -> Exchange:
        """Answer this request."""
        cors = b""
        if head.origin:
            if not self._browsers.may_ask(head):
                return self._turn_away(head, client, FORBIDDEN)
            cors = self._browsers.cors_headers(head)
        if head.method == b"OPTIONS":
            _answer_empty(client, b"HTTP/1.1 200 OK\r\n" + _preflight_headers(head) + cors)
            return _NOBODY
        if self._group is None:
            return self._refuse(head, client, errors.not_running(), cors)
        if not head.target.startswith(self._prefix):
            return self._refuse(head, client, errors.wrong_prefix(), cors)
        try:
            request = request_policy.prepare(head, self._prefix_bytes)
        except RefusedRequestError as error:
            return self._refuse(head, client, errors.failure_of(error), cors)
        if request.credential.kind == "session" and (refusal := self._browsers.refusal_of_cookie(head)):
            return self._turn_away(head, client, refusal)
        exchange = ProxyExchange(self, head, client, request)
        exchange.begin(cors)
        return exchange

    def _refuse(self, head: RequestHead, client: Client, failure: Failure, cors: bytes) -> Exchange:
        answer_failure(head, client, failure, cors)
        self.journal.turned_away(head, client.address, failure.code)
        return _NOBODY

    def _turn_away(self, head: RequestHead, client: Client, status: int) -> Exchange:
        """As GitLab does with foreign pages: without a word, which nobody could read."""
        _answer_empty(client, b"HTTP/1.1 %d %b\r\n" % (status, response_policy.reason_of(status)))
        self.journal.turned_away(head, client.address, status)
        return _NOBODY

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run this while the proxy runs; when it does not, nobody waits."""
        if self._group is None:
            work.close()
        else:
            self._group.create_task(work, name="proxied request")


def _preflight_headers(head: RequestHead) -> bytes:
    asked = head.value(b"access-control-request-headers")
    lines = [b"Access-Control-Allow-Headers: %b\r\n" % asked] if asked else []
    lines += [b"Access-Control-Allow-Methods: %b\r\n" % _METHODS, b"Access-Control-Max-Age: 86400\r\n"]
    return b"".join(lines)


def _answer_empty(client: Client, lines: bytes) -> None:
    client.start(lines + SECURITY_HEADERS, 0)
    client.finish()
