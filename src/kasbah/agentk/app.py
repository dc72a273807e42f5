"""Composes agentk; the only file that knows all of its parts.

Parts start in stages and stop in the opposite order: first no new configuration comes and the pod leaves kas' list,
then no new streams while the running ones finish, then the tunnel goes, then the modules.
"""

from __future__ import annotations

import asyncio

import structlog

from kasbah import __version__
from kasbah.agentk.agent_configuration.module import AgentConfigurationWatch
from kasbah.agentk.agent_registrar.module import AgentRegistrar, Pod
from kasbah.agentk.kubernetes_api.module import KubernetesApi
from kasbah.agentk.module import LatestValue, Module
from kasbah.agentk.observability.module import Observability
from kasbah.agentk.reverse_tunnel.module import ReverseTunnel
from kasbah.agentk.settings import AgentkSettings
from kasbah.kit.tasks import alongside
from kasbah.kube.access import ClusterAccess
from kasbah.kube.client import KubeClient
from kasbah.kube.pool import UpstreamPool
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration

_log = structlog.get_logger()


class Agentk:
    """The program, from start to the last byte."""

    def __init__(self, settings: AgentkSettings, access: ClusterAccess) -> None:
        self._drain_timeout_s = settings.drain_timeout_s
        pool = UpstreamPool(access)
        kubernetes_api = KubernetesApi(access, pool, lambda: self._tunnel.agent_id)
        self._tunnel = ReverseTunnel(
            settings.tunnel,
            settings.token,
            kubernetes_api.accept,
            user_agent=f"kasbah-agentk/{__version__}",
            on_open=self._tunnel_opened,
        )
        modules: list[Module] = [kubernetes_api, Observability(settings.observability, self._why_not_ready)]
        self._modules = [(module, LatestValue[AgentConfiguration]()) for module in modules]
        self._configuration = AgentConfigurationWatch(self._tunnel.rpc, self._modules)
        self._registrar = AgentRegistrar(
            self._tunnel.rpc,
            Pod(
                pod_id=self._tunnel.pod_id,
                version=f"v{__version__}",
                namespace=settings.pod.namespace,
                name=settings.pod.name,
            ),
            KubeClient(pool).server_version,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain; cancelling stops at once."""
        async with (
            alongside(*(module.run(values) for module, values in self._modules)),
            alongside(self._tunnel.run()),
        ):
            async with alongside(self._configuration.run(), self._registrar.run()):
                await stop.wait()
            _log.info("draining", timeout_s=self._drain_timeout_s)
            await self._tunnel.drain(self._drain_timeout_s)
        _log.info("stopped")

    def _tunnel_opened(self) -> None:
        self._registrar.register_soon()

    def _why_not_ready(self) -> str:
        return "" if self._tunnel.is_ready else "there is no tunnel to kas"
