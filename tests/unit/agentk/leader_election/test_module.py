"""Modules that run in one pod only; the API server is in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from kasbah.agentk.leader_election.module import LeaderElection
from kasbah.agentk.leader_election.settings import LeaderElectionSettings
from kasbah.agentk.module import LatestValue
from kasbah.kube.client import StatusError
from kasbah.kube.errors import UpstreamError
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration
from tests.doubles.fake_leases import FakeLeases

PATH = "/apis/coordination.k8s.io/v1/namespaces/agents/leases/agent-7-lock"
PATIENT = LeaderElectionSettings(lease_duration_s=15, renew_deadline_s=10, retry_s=0)
FORGETFUL = LeaderElectionSettings(lease_duration_s=0, renew_deadline_s=0.01, retry_s=0)


@dataclass
class Worker:
    """A module of which there may be one."""

    name: str = "worker"
    leader_only: bool = True
    runs: int = 0
    seen: list[int] = field(default_factory=list)
    working: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def validate(self, configuration: AgentConfiguration) -> None: ...

    async def run(self, configurations: LatestValue[AgentConfiguration]) -> None:
        self.runs += 1
        try:
            async for configuration in configurations:
                self.seen.append(configuration.project_id)
                self.working.set()
        finally:
            self.working.clear()
            self.stopped.set()


class Pod:
    def __init__(self, leases: FakeLeases, name: str, settings: LeaderElectionSettings = PATIENT) -> None:
        self.worker = Worker()
        self.values: LatestValue[AgentConfiguration] = LatestValue()
        self.own: LatestValue[AgentConfiguration] = LatestValue()
        self.election = LeaderElection(leases, "agents", name, [(self.worker, self.values)], settings)

    def configure(self, project_id: int = 1) -> None:
        for slot in (self.values, self.own):
            slot.put(AgentConfiguration(agent_id=7, project_id=project_id))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Pod]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.election.run(self.own))
            await turns()
            yield self
            task.cancel()


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_nobody_stands_for_election_before_it_is_known_which_agent_this_is():
    leases = FakeLeases()
    async with Pod(leases, "a").running() as pod:
        assert not leases.questions
        pod.configure()
        await turns()
        assert leases.objects[PATH]["spec"]["holderIdentity"] == "a"
        assert pod.worker.working.is_set()


@pytest.mark.asyncio
async def test_only_one_of_two_works_and_the_other_follows_at_once_when_the_lease_is_given_back():
    leases = FakeLeases()
    async with Pod(leases, "b").running() as second:
        async with Pod(leases, "a").running() as first:
            first.configure()
            await turns()
            second.configure(project_id=5)
            await turns()
            assert (first.worker.runs, second.worker.runs) == (1, 0)
        await turns()
        assert not first.worker.working.is_set()
        assert leases.objects[PATH]["spec"]["holderIdentity"] == "b"
        assert leases.objects[PATH]["spec"]["leaseTransitions"] == 1
        assert second.worker.seen == [5]


@pytest.mark.asyncio
async def test_a_leader_without_an_api_server_stops_and_starts_again_with_the_newest_configuration():
    leases = FakeLeases()
    async with Pod(leases, "a", FORGETFUL).running() as pod:
        pod.configure()
        await pod.worker.working.wait()
        leases.down = UpstreamError("away")
        await pod.worker.stopped.wait()
        pod.configure(project_id=2)
        leases.down = None
        await pod.worker.working.wait()
        assert (pod.worker.runs, pod.worker.seen) == (2, [1, 2])


@pytest.mark.asyncio
async def test_a_leader_whose_lease_was_taken_stops_at_once():
    leases = FakeLeases()
    async with Pod(leases, "a").running() as pod:
        pod.configure()
        await turns()
        stolen = await leases.get_json(PATH)
        stolen["spec"] |= {"holderIdentity": "thief"}
        await leases.send_json("PUT", PATH, stolen)
        await turns()
        assert not pod.worker.working.is_set()
    assert leases.objects[PATH]["spec"]["holderIdentity"] == "thief"


@pytest.mark.asyncio
async def test_missing_rights_are_said_once_and_with_what_is_needed():
    leases = FakeLeases(down=StatusError(403, "the API server answered 403: forbidden"))
    with capture_logs() as logs:
        async with Pod(leases, "a").running() as pod:
            pod.configure()
            await turns()
    warnings = [log for log in logs if log["log_level"] == "warning"]
    assert len(leases.questions) > 2
    assert len(warnings) == 1
    assert "leases.coordination.k8s.io" in warnings[0]["hint"]


@pytest.mark.asyncio
async def test_a_lease_that_cannot_be_given_back_is_only_logged():
    leases = FakeLeases()
    with capture_logs() as logs:
        async with Pod(leases, "a").running() as pod:
            pod.configure()
            await turns()
            leases.down = UpstreamError("away")
    assert [log["event"] for log in logs][-1].startswith("the lease was not given back")
