"""The Kubernetes API proxy's life in agentk: takes the streams kas opens, keeps their relays, owns the connections.

Everything a request needs happens in callbacks of `accept`'s stream and of its connection. `run` is only the clock:
deadlines are looked at four times a second, and the service account's token is read again now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from kasbah.agentk.kubernetes_api.relay import Outcome, Relay
from kasbah.agentk.kubernetes_api.upstream_request import Credentials, RefusedRequestError, RequestBuilder
from kasbah.agentk.module import LatestValue
from kasbah.kube.access import ClusterAccess
from kasbah.kube.pool import UpstreamPool
from kasbah.wire.kubernetes_api import names_of, split_stamp
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration
from kasbah.wire.stream import ResetCode, Stream, StreamHandler, StreamKind

_TICK_S: Final = 0.25
_TOKEN_CHECK_S: Final = 10.0

_log = structlog.get_logger()

_requests = Counter(
    "kasbah_agentk_kubernetes_api_requests",
    "Requests relayed to the API server, by how they ended.",
    ["outcome"],
)
_open_requests = Gauge(
    "kasbah_agentk_kubernetes_api_open_requests", "Requests being relayed now, watches included."
)
_open_connections = Gauge(
    "kasbah_agentk_api_server_connections", "Connections to the API server, kept ones included."
)
_idle_connections = Gauge(
    "kasbah_agentk_api_server_idle_connections", "Connections to the API server kept for later."
)


class KubernetesApi:
    """Relays requests to one API server.

    Attributes:
        outcomes: how many requests ended how since the metrics last looked.
    """

    name = "kubernetes_api"
    leader_only = False

    def __init__(
        self, access: ClusterAccess, pool: UpstreamPool, own_agent_id: Callable[[], int | None]
    ) -> None:
        self._access = access
        self.connections = pool
        self._own_agent_id = own_agent_id
        self._builder = _builder(access)
        self._relays: set[Relay] = set()
        self._now = 0.0
        self.outcomes: dict[Outcome, int] = {}

    @property
    def open_requests(self) -> int:
        return len(self._relays)

    def accept(self, kind: StreamKind, opening: bytes, stream: Stream) -> StreamHandler:
        """Take a stream that kas opened; refuses by resetting it."""
        return self._accept(kind, opening, stream, self._own_agent_id())

    def accept_unnamed(self, kind: StreamKind, opening: bytes, stream: Stream) -> StreamHandler:
        """As `accept`, on a wire that does not say for which agent a request is: its opening says 0."""
        return self._accept(kind, opening, stream, 0)

    def _accept(
        self, kind: StreamKind, opening: bytes, stream: Stream, agent_id: int | None
    ) -> StreamHandler:
        if kind != StreamKind.KUBERNETES_API:
            return self._refuse(stream, ResetCode.PROTOCOL, "agentk takes no such streams")
        plain, stamp = split_stamp(opening)
        try:
            request = self._builder.build(plain)
        except RefusedRequestError as error:
            return self._refuse(stream, error.code, str(error), stamp)
        if request.agent_id != agent_id:
            return self._refuse(
                stream, ResetCode.FORBIDDEN, "the request was granted for another agent", stamp
            )
        relay = Relay(self, stream, request, stamp)
        self._relays.add(relay)
        relay.start()
        return relay

    def validate(self, configuration: AgentConfiguration) -> None:
        """Nothing of the configuration concerns this module: access rules are kas' to enforce."""

    async def run(self, configurations: LatestValue[AgentConfiguration]) -> None:
        """Serve until cancelled; then end every request."""
        del configurations
        self._now = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.connections.run(), name="API server connections")
                tasks.create_task(self._watch_clock(), name="deadlines")
                tasks.create_task(self._watch_token(), name="token of the API server")
        finally:
            for relay in list(self._relays):
                relay.stop()

    # For relays

    def now(self) -> float:
        """The time of the last look at the clock: deadlines are right to a quarter of a second."""
        return self._now

    def relay_ended(self, relay: Relay, outcome: Outcome) -> None:
        self._relays.discard(relay)
        outcomes = self.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    # Time

    async def _watch_clock(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.look_at_clock(loop.time())
            self._publish()
            await asyncio.sleep(_TICK_S)

    async def _watch_token(self) -> None:
        while True:
            await asyncio.sleep(_TOKEN_CHECK_S)
            self.look_at_token()

    def look_at_clock(self, now: float) -> None:
        """End the requests whose deadline has passed."""
        self._now = now
        for relay in [relay for relay in self._relays if relay.deadline <= now]:
            relay.expire()

    def look_at_token(self) -> None:
        """Use the API server's token as it is now."""
        if self._access.authorization.refresh():
            self._builder = _builder(self._access)
            _log.info("token of the api server changed")

    def _publish(self) -> None:
        """Hand the counts to the metrics: cheaper four times a second than once a request."""
        for outcome, count in self.outcomes.items():
            _requests.labels(outcome).inc(count)
        self.outcomes.clear()
        _open_requests.set(len(self._relays))
        _open_connections.set(self.connections.open_connections)
        _idle_connections.set(self.connections.idle_connections)

    def _count(self, outcome: Outcome) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def _refuse(self, stream: Stream, code: ResetCode, message: str, stamp: bytes = b"") -> StreamHandler:
        self._count("refused")
        trace_id, request_id = names_of(stamp)
        _log.warning("request from kas refused", reason=message, trace_id=trace_id, request_id=request_id)
        stream.reset(code, message)
        return _Refused(stream)


class _Refused:
    """The handler of a stream that was reset at once: nothing should come, and nothing is kept."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def head_received(self, head: bytes) -> None:
        """Ignored."""

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))

    def ended(self) -> None:
        """Ignored."""

    def reset(self, code: int, message: str) -> None:
        """Ignored."""

    def writable(self) -> None:
        """Ignored."""


def _builder(access: ClusterAccess) -> RequestBuilder:
    return RequestBuilder(
        Credentials(
            authority=access.authority,
            base_path=access.base_path,
            authorization=access.authorization.value,
            identity=access.identity,
        )
    )
