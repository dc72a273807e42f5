"""Composes kas; the only file that knows all of its features.

Parts start in the order in which they need each other and stop in the opposite one: first no new requests; when all
that were let in have found their tunnel, no new tunnels; when what runs has finished, the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx2
import structlog

from kasbah.kas.access_log.journal import AccessLog, open_access_log
from kasbah.kas.access_log.settings import AccessLogSettings
from kasbah.kas.agent_configuration import rpc as agent_configuration
from kasbah.kas.agent_configuration.settings import Settings as AgentConfigurationSettings
from kasbah.kas.agent_registrar import rpc as agent_registrar
from kasbah.kas.agent_tracker import rpc as agent_tracker
from kasbah.kas.audit.journal import AuditJournal, open_journal
from kasbah.kas.audit.settings import AuditSettings
from kasbah.kas.configuration_project import rpc as configuration_project
from kasbah.kas.deployment import Deployment
from kasbah.kas.flux import rpc as flux
from kasbah.kas.flux.settings import Settings as FluxSettings
from kasbah.kas.gitlab_access import rpc as gitlab_access
from kasbah.kas.gitlab_access.settings import Settings as GitlabAccessSettings
from kasbah.kas.gitops import rpc as gitops
from kasbah.kas.gitops.settings import Settings as GitopsSettings
from kasbah.kas.http_server.asgi import Application, AsgiBridge
from kasbah.kas.http_server.exchange import Client, Exchange, NullExchange
from kasbah.kas.http_server.router import PROXY_PREFIX, Router, asks_for_websocket
from kasbah.kas.http_server.server import HttpServer, Listen
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.settings import HubClientSettings
from kasbah.kas.internal_api.server import InternalApi
from kasbah.kas.internal_api.settings import InternalApiSettings
from kasbah.kas.kubernetes_api.directory import HubDirectory
from kasbah.kas.kubernetes_api.explanation import RefusalExplainer
from kasbah.kas.kubernetes_api.proxy import KubernetesApiProxy
from kasbah.kas.kubernetes_api.record import Journal, NoJournal, ObservedJournal
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.notifications import rpc as notifications
from kasbah.kas.observability.probes import Probes
from kasbah.kas.observability.settings import ObservabilitySettings
from kasbah.kas.private_api.api import PrivateApi
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.redis.settings import RedisSettings
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.kas.reverse_tunnel.server import ReverseTunnelServer
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kas.session_recording.recorder import open_recorder
from kasbah.kas.session_recording.settings import SessionRecordingSettings
from kasbah.kas.tracing.exporter import SpanExporter, open_exporter
from kasbah.kas.tracing.settings import TracingSettings
from kasbah.kas.usage_metrics.counters import UsageCounters
from kasbah.kas.usage_metrics.reporter import UsageReporter
from kasbah.kit import shared_secret
from kasbah.kit.secrets import Secret
from kasbah.kit.tasks import alongside
from kasbah.wire.http1 import RequestHead

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class KasSettings:
    """What kas is told by whoever composes it."""

    version: str
    """Ours, as agents are told it."""
    listens: Sequence[Listen] = ()
    """Addresses that show everything: agents, the Kubernetes API below `PROXY_PREFIX`, the application."""
    agent_listens: Sequence[Listen] = ()
    """Addresses for agents only, whatever the path, as GitLab's kas has them."""
    kubernetes_api_listens: Sequence[Listen] = ()
    """Addresses for the Kubernetes API only, below `kubernetes_api_prefix`."""
    kubernetes_api_prefix: bytes = PROXY_PREFIX
    """With a slash at both ends."""
    agent_configuration: AgentConfigurationSettings = field(default_factory=AgentConfigurationSettings)
    flux: FluxSettings = field(default_factory=FluxSettings)
    gitlab_access: GitlabAccessSettings = field(default_factory=GitlabAccessSettings)
    gitops: GitopsSettings = field(default_factory=GitopsSettings)
    observability: Listen | None = None
    """Where metrics and probes are; nowhere when None."""
    internal_api_listens: Sequence[Listen] = ()
    """Addresses for the Git side, which asks and tells over gRPC."""
    internal_api_secret: Secret = Secret("")  # noqa: RUF009 - it cannot be changed
    """What the Git side signs those calls with, base64; needed when there are such addresses."""
    internal_api: InternalApiSettings = field(default_factory=InternalApiSettings)
    probes: ObservabilitySettings = field(default_factory=ObservabilitySettings)
    http_server: HttpServerSettings = field(default_factory=HttpServerSettings)
    kubernetes_api: KubernetesApiSettings = field(default_factory=KubernetesApiSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    access_log: AccessLogSettings = field(default_factory=AccessLogSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    session_recording: SessionRecordingSettings = field(default_factory=SessionRecordingSettings)
    explain_refusals: bool = True
    """Below a cluster's 403, tell people who they are there and what would allow the request."""
    hub_client: HubClientSettings = field(default_factory=HubClientSettings)
    reverse_tunnel: ReverseTunnelSettings = field(default_factory=ReverseTunnelSettings)
    redis: RedisSettings | None = None
    """What several kas of one deployment share; None: this one is alone, and remembers in memory."""
    private_api: PrivateApiSettings | None = None
    """How other kas of the deployment reach this one's agents; None: they do not."""
    usage_reporting_period_s: float = 60.0
    """How often usage is reported to the Git side; 0: never."""
    listen_grace_s: float = 0.0
    """When told to stop: how long to be not ready and still accept, so that a load balancer takes notice."""


class Kas:
    """The agent server, from its first listening socket to the last byte.

    Attributes:
        pushes: give it to the Git side, which tells it of pushes.
    """

    def __init__(
        self, settings: KasSettings, hub_http: httpx2.AsyncClient, secret: bytes, application: Application
    ) -> None:
        """`secret` is what kas and the Git side share; `application` answers whatever is not for kas."""
        self._deployment = _deployment(settings)
        self.pushes, tracker = self._deployment.pushes, self._deployment.tracker
        hub = HubClient(hub_http, secret, settings=settings.hub_client)
        usage = UsageCounters()
        self._usage_reporter = UsageReporter(usage, hub, settings.usage_reporting_period_s)
        self._private_api = private = _private_api(settings, self._deployment)
        registry = private.registry if private else TunnelRegistry()
        self._tunnels = ReverseTunnelServer(
            hub,
            registry,
            [
                *agent_configuration.services(hub, self.pushes, tracker, settings.agent_configuration),
                *agent_registrar.services(tracker),
                *flux.services(hub, self.pushes, usage, settings.flux),
                *gitlab_access.services(hub, settings.gitlab_access),
                *gitops.services(hub, self.pushes, usage, settings.gitops),
            ],
            version=settings.version,
            settings=settings.reverse_tunnel,
        )
        self._server = HttpServer(settings.listens, _not_yet, settings.http_server)
        self._bridge = AsgiBridge(application, self._server.clock)
        self._audit, self._access_log = open_journal(settings.audit), open_access_log(settings.access_log)
        self._spans = open_exporter(settings.tracing, version=settings.version)
        self._recorder = open_recorder(settings.session_recording)
        self._proxy = KubernetesApiProxy(
            HubDirectory(hub),
            private.tunnels if private else registry,
            self._server.clock,
            prefix=settings.kubernetes_api_prefix,
            usage=usage,
            settings=settings.kubernetes_api,
            explainer=RefusalExplainer() if settings.explain_refusals else None,
            recorder=self._recorder,
            journal=_journal(self._audit, self._access_log, self._spans),
        )
        self._server.route = Router(
            proxy=self._proxy.exchange, agent_upgrade=self._tunnels.accept, application=self._bridge.exchange
        )
        self._server.accept_http2 = self._tunnels.accept_http2
        probes = [settings.observability] if settings.observability else []
        self._probes = HttpServer(probes, Probes(self._why_not_ready, settings.probes))
        self._servers = [
            self._server,
            HttpServer(settings.agent_listens, self._agents_only, accept_http2=self._tunnels.accept_http2),
            HttpServer(settings.kubernetes_api_listens, self._proxy.exchange, settings.http_server),
            self._probes,
        ]
        if private is not None:
            self._servers.append(private.server)
        self._internal_api: InternalApi | None = None
        if settings.internal_api_listens:
            api = self._internal_api = InternalApi(
                [
                    *agent_tracker.services(tracker),
                    *configuration_project.services(hub),
                    *notifications.services(self.pushes),
                ],
                shared_secret.decode(settings.internal_api_secret),
                settings.internal_api,
            )
            self._servers.append(
                HttpServer(settings.internal_api_listens, api.exchange, accept_http2=api.accept)
            )
        self._not_bound = len(self._servers)
        self._listen_grace_s = settings.listen_grace_s
        self._stopping = False

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens, in the order of the settings, once it is ready."""
        return self._server.addresses

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until `stop` is set, then drain; `ready` is called once every address is bound.

        Raises:
            OSError: an address cannot be bound.
        """

        def bound() -> None:
            self._not_bound -= 1
            if not self._not_bound:
                ready()

        parts = [self._usage_reporter.run(), self._tunnels.run(), self._bridge.run(), self._proxy.run()]
        if self._internal_api is not None:
            parts.append(self._internal_api.run())
        if self._private_api is not None:
            parts.append(self._private_api.run())
        writers = (self._audit, self._access_log, self._spans, self._recorder)
        journals = [writer.run() for writer in writers if writer]
        async with (
            alongside(self._deployment.run(), *journals),  # the last request ends before they do
            alongside(*parts),
            alongside(*(server.run(bound) for server in self._servers)),
        ):
            await stop.wait()
            self._stopping = True
            _log.info("stopping", listen_grace_s=self._listen_grace_s)
            if self._listen_grace_s:
                await asyncio.sleep(self._listen_grace_s)
            _log.info("draining")
            async with asyncio.TaskGroup() as tasks:
                if self._private_api is not None:
                    self._private_api.drain()
                if self._internal_api is not None:
                    tasks.create_task(self._internal_api.drain())
                for server in self._servers:
                    if server is not self._probes:  # operators watch until the end
                        tasks.create_task(server.drain())
                tasks.create_task(self._drain_tunnels())

    async def _drain_tunnels(self) -> None:
        """Only when nobody wants one any more: who was let in before we were stopped is served."""
        await self._proxy.sent()
        await self._tunnels.drain()

    def _why_not_ready(self) -> str:
        if self._stopping:
            return "stopping"
        return "not every address is bound yet" if self._not_bound else ""

    def _agents_only(self, head: RequestHead, client: Client) -> Exchange:
        if asks_for_websocket(head):
            self._tunnels.accept(head, client.take_over())
            return NullExchange()
        return self._bridge.exchange(head, client)


def _deployment(settings: KasSettings) -> Deployment:
    if settings.redis is None:
        return Deployment()
    from kasbah.kas.redis_deployment import over_redis  # noqa: PLC0415 - a large library, for several kas only

    return over_redis(settings.redis, settings.private_api.secret if settings.private_api else b"")


def _journal(audit: AuditJournal | None, access_log: AccessLog | None, spans: SpanExporter | None) -> Journal:
    journal = audit or NoJournal()
    observers = [observer for observer in (access_log, spans) if observer is not None]
    return ObservedJournal(journal, observers) if observers else journal


def _private_api(settings: KasSettings, deployment: Deployment) -> PrivateApi | None:
    if settings.private_api is None:
        return None
    private = PrivateApi(settings.private_api, deployment.routes)
    deployment.on_back.append(private.publisher.say_again)
    return private


def _not_yet(_head: RequestHead, client: Client) -> Exchange:
    """Stands in until the router is composed; no address is bound before."""
    client.abort()
    return NullExchange()
