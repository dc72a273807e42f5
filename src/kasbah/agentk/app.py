"""Composes agentk; the only file that knows all of its parts.

Parts start in stages and stop in the opposite order: first no new configuration comes and the pod leaves kas' list,
then no new streams while the running ones finish, then the tunnel goes, then what only the leader runs (and the lease
is given back), then the other modules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from kasbah import __version__
from kasbah.agentk.agent_configuration.module import AgentConfigurationWatch
from kasbah.agentk.agent_registrar.module import AgentRegistrar, Pod
from kasbah.agentk.kubernetes_api.module import KubernetesApi
from kasbah.agentk.leader_election.module import LeaderElection
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

USER_AGENT: Final = f"gitlab-agent/v{__version__}/kasbah"
"""GitLab's form, by which kas and proxies know an agent; the last part is a commit there."""

WithSlot = tuple[Module, LatestValue[AgentConfiguration]]


class Agentk:
    """The program, from start to the last byte."""

    def __init__(
        self, settings: AgentkSettings, access: ClusterAccess, modules: Sequence[Module] = ()
    ) -> None:
        """`modules`: more than those that every agentk has."""
        self._drain_timeout_s = settings.drain_timeout_s
        pool = UpstreamPool(access)
        kubernetes_api = KubernetesApi(access, pool, lambda: self._tunnel.agent_id)
        self._tunnel = ReverseTunnel(
            settings.tunnel,
            settings.token,
            kubernetes_api.accept,
            user_agent=USER_AGENT,
            grpc_acceptor=kubernetes_api.accept_unnamed,
            on_open=self._tunnel_opened,
        )
        client = KubeClient(pool)
        own: list[Module] = [kubernetes_api, Observability(settings.observability, self._why_not_ready)]
        everywhere, once = _with_slots([*own, *modules])
        self._everywhere, self._elections = everywhere, _elections(once, client, settings)
        self._configuration = AgentConfigurationWatch(
            self._tunnel.rpc, [*everywhere, *once, *self._elections]
        )
        self._registrar = AgentRegistrar(
            self._tunnel.rpc,
            Pod(
                pod_id=self._tunnel.pod_id,
                version=f"v{__version__}",
                namespace=settings.pod.namespace,
                name=settings.pod.name,
            ),
            client.server_version,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain; cancelling stops at once."""
        async with (
            alongside(*(module.run(values) for module, values in self._everywhere)),
            alongside(*(module.run(values) for module, values in self._elections)),
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


def _with_slots(modules: Sequence[Module]) -> tuple[list[WithSlot], list[WithSlot]]:
    """Those that each pod runs, and those that only the leader runs."""
    slots = [(module, LatestValue[AgentConfiguration]()) for module in modules]
    return [s for s in slots if not s[0].leader_only], [s for s in slots if s[0].leader_only]


def _elections(once: list[WithSlot], client: KubeClient, settings: AgentkSettings) -> list[WithSlot]:
    """One election when anything needs it, else none: it would ask for rights that nobody uses."""
    if not once:
        return []
    namespace = settings.kube.namespace or settings.pod.namespace
    return [(LeaderElection(client, namespace, settings.pod.name, once), LatestValue[AgentConfiguration]())]
