"""Pods of one agent elect a leader by a Lease of a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

import sandbox
from kasbah.agentk.leader_election.module import LeaderElection
from kasbah.agentk.leader_election.settings import LeaderElectionSettings
from kasbah.agentk.module import LatestValue
from kasbah.kube import kubeconfig
from kasbah.kube.client import KubeClient, StatusError
from kasbah.kube.kubeconfig import KubeFlags
from kasbah.kube.pool import UpstreamPool
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration

SETTINGS = LeaderElectionSettings(lease_duration_s=3, renew_deadline_s=2, retry_s=0.3)
_agents = count(1000)


@dataclass
class Worker:
    """A module that only the leader runs; writes down who works, and that nobody else does."""

    pod: str
    at_work: list[str]
    began: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "worker"
    leader_only: bool = True

    def validate(self, configuration: AgentConfiguration) -> None: ...

    async def run(self, configurations: LatestValue[AgentConfiguration]) -> None:
        self.at_work.append(self.pod)
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.at_work.remove(self.pod)


class Cluster:
    """The API server as pods of one agent see it."""

    def __init__(self, file: Path) -> None:
        self.agent_id = next(_agents)
        self.access = kubeconfig.load(KubeFlags(kubeconfig=str(file)), {})
        self.at_work: list[str] = []

    @contextlib.asynccontextmanager
    async def pod(self, name: str) -> AsyncIterator[Pod]:
        async with asyncio.TaskGroup() as tasks:
            pool = UpstreamPool(self.access)
            connections = tasks.create_task(pool.run())
            pod = Pod(name, self, pool)
            running = tasks.create_task(pod.election.run(pod.values))
            try:
                yield pod
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
                connections.cancel()

    async def lease(self, pod: Pod) -> dict[str, object]:
        path = f"/apis/coordination.k8s.io/v1/namespaces/default/leases/agent-{self.agent_id}-lock"
        found: dict[str, object] = (await pod.client.get_json(path))["spec"]
        return found


class Pod:
    def __init__(self, name: str, cluster: Cluster, pool: UpstreamPool) -> None:
        self.pool, self.client = pool, KubeClient(pool)
        self.worker = Worker(name, cluster.at_work)
        self.values: LatestValue[AgentConfiguration] = LatestValue()
        self.values.put(AgentConfiguration(agent_id=cluster.agent_id))
        modules = [(self.worker, LatestValue[AgentConfiguration]())]
        self.election = LeaderElection(self.client, "default", name, modules, SETTINGS)

    def lose_the_api_server(self) -> None:
        """From now on this pod hears nothing and says nothing, as one that was killed or cut off."""

        async def silence(*_: object) -> object:
            return await asyncio.Event().wait()

        self.client.get_json = self.client.send_json = silence  # type: ignore[method-assign,assignment]


@pytest.fixture
def cluster(control_plane: sandbox.Cluster) -> Cluster:
    return Cluster(control_plane.admin_kubeconfig)


async def within(seconds: float, event: asyncio.Event) -> float:
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        await event.wait()
    return time.monotonic() - began


@pytest.mark.asyncio
async def test_exactly_one_leads_and_the_lease_says_who(cluster: Cluster):
    async with cluster.pod("a") as first, cluster.pod("b") as second:
        async with asyncio.timeout(5):
            while not cluster.at_work:  # noqa: ASYNC110 - either may be the first
                await asyncio.sleep(0.02)
        for _ in range(20):
            await asyncio.sleep(0.1)
            assert len(cluster.at_work) == 1
        spec = await cluster.lease(first)
        assert [spec["holderIdentity"]] == cluster.at_work
        assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (3, 0)
        assert first.worker.began.is_set() != second.worker.began.is_set()


@pytest.mark.asyncio
async def test_a_leader_that_is_cut_off_stops_before_another_takes_over(cluster: Cluster):
    async with cluster.pod("a") as first:
        await within(5, first.worker.began)
        async with cluster.pod("b") as second:
            await asyncio.sleep(0.5)
            first.lose_the_api_server()
            taken_over_in_s = await within(10, second.worker.began)
            assert cluster.at_work == ["b"]
            assert SETTINGS.renew_deadline_s < taken_over_in_s < SETTINGS.lease_duration_s + 1.5
            spec = await cluster.lease(second)
            assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("b", 1)


@pytest.mark.asyncio
async def test_a_lease_that_is_given_back_is_taken_at_once(cluster: Cluster):
    async with cluster.pod("b") as second:
        await within(5, second.worker.began)
    async with cluster.pod("c") as third:
        assert await within(5, third.worker.began) < 1
        assert (await cluster.lease(third))["leaseTransitions"] == 1


@pytest.mark.asyncio
async def test_the_api_server_lets_only_the_one_write_who_saw_the_newest(cluster: Cluster):
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    async with cluster.pod("a") as pod:
        await within(5, pod.worker.began)
        name = f"agent-{cluster.agent_id}-lock"
        old = await pod.client.get_json(f"{path}/{name}")
        old["spec"]["holderIdentity"] = "x"
        await asyncio.sleep(1)
        with pytest.raises(StatusError, match="409"):
            await pod.client.send_json("PUT", f"{path}/{name}", old)
        with pytest.raises(StatusError, match="409"):
            await pod.client.send_json("POST", path, {**old, "metadata": {"name": name}})
        with pytest.raises(StatusError, match="404"):
            await pod.client.get_json(f"{path}/none")
