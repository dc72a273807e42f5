"""A pod comes onto kas' list and leaves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from kasbah.agentk.agent_registrar.module import AgentRegistrar, Pod
from kasbah.errors import PeerError
from kasbah.kit.backoff import BackoffSettings
from kasbah.kube.client import ServerVersion
from kasbah.wire.methods import REGISTER, UNREGISTER
from kasbah.wire.rpc import RpcError, StatusCode

AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)
POD = Pod(pod_id=5, version="v0.1.0", commit_id="abc", namespace="ns", name="agentk-0")


@dataclass
class FakeKas:
    """Answers calls; the first ones fail as the script says."""

    failures: list[RpcError] = field(default_factory=list)
    calls: list[tuple[Any, Any]] = field(default_factory=list)
    registered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def unary(self, method: Any, request: Any) -> Any:
        self.calls.append((method, request))
        if self.failures:
            raise self.failures.pop(0)
        self.registered.release()
        return method.response()


async def version() -> ServerVersion:
    return ServerVersion(major="1", minor="36", git_version="v1.36.1", platform="linux/amd64")


async def no_version() -> ServerVersion:
    raise PeerError("the API server is away")


def registrar(kas: FakeKas, kubernetes_version: Any = version) -> AgentRegistrar:
    made = AgentRegistrar(kas, POD, kubernetes_version, backoff=AT_ONCE)
    made.register_soon()
    return made


@pytest.mark.asyncio
async def test_a_pod_says_what_it_is_and_later_that_it_leaves():
    kas = FakeKas()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(registrar(kas).run())
        await kas.registered.acquire()
        task.cancel()
    (register, registration), (unregister, farewell) = kas.calls
    assert (register, unregister) == (REGISTER, UNREGISTER)
    assert (registration.pod_id, farewell.pod_id) == (5, 5)
    meta = registration.agent_meta
    assert (meta.version, meta.commit_id, meta.pod_namespace, meta.pod_name) == (
        "v0.1.0",
        "abc",
        "ns",
        "agentk-0",
    )
    assert (meta.kubernetes_version.git_version, meta.kubernetes_version.platform) == (
        "v1.36.1",
        "linux/amd64",
    )


@pytest.mark.asyncio
async def test_a_cluster_without_a_version_is_registered_without_one():
    kas = FakeKas()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(registrar(kas, no_version).run())
        await kas.registered.acquire()
        task.cancel()
    assert not kas.calls[0][1].agent_meta.HasField("kubernetes_version")


@pytest.mark.asyncio
async def test_a_failed_registration_is_tried_again():
    kas = FakeKas([RpcError(StatusCode.UNAVAILABLE, "no tunnel"), RpcError(StatusCode.UNAUTHENTICATED, "no")])
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(registrar(kas).run())
        await kas.registered.acquire()
        task.cancel()
    assert [method for method, _ in kas.calls] == [REGISTER, REGISTER, REGISTER, UNREGISTER]


@pytest.mark.asyncio
async def test_a_new_connection_is_a_reason_to_register_again():
    kas = FakeKas()
    agent = registrar(kas)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(agent.run())
        await kas.registered.acquire()
        await asyncio.sleep(0)
        agent.register_soon()
        await kas.registered.acquire()
        task.cancel()
    assert [method for method, _ in kas.calls] == [REGISTER, REGISTER, UNREGISTER]


@pytest.mark.asyncio
async def test_an_older_kas_that_knows_no_farewell_is_left_in_peace():
    kas = FakeKas()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(registrar(kas).run())
        await kas.registered.acquire()
        kas.failures.append(RpcError(StatusCode.UNIMPLEMENTED, "unknown method"))
        task.cancel()
    assert kas.calls[-1][0] is UNREGISTER


@pytest.mark.asyncio
async def test_a_pod_that_was_never_listed_has_nothing_to_leave():
    kas = FakeKas([RpcError(StatusCode.UNAVAILABLE, "no tunnel")] * 1000)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(registrar(kas).run())
        await asyncio.sleep(0)
        task.cancel()
    assert UNREGISTER not in [method for method, _ in kas.calls]


@pytest.mark.asyncio
async def test_the_connection_that_carried_the_registration_is_no_reason_for_another():
    kas = FakeKas()
    agent = registrar(kas)
    agent.register_soon()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(agent.run())
        await kas.registered.acquire()
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
    assert [method for method, _ in kas.calls] == [REGISTER, UNREGISTER]


@pytest.mark.asyncio
async def test_a_new_connection_ends_the_waiting_after_a_failure():
    kas = FakeKas([RpcError(StatusCode.UNAUTHENTICATED, "no")])
    slow = BackoffSettings(initial_s=3600, maximum_s=3600, reset_s=1)
    agent = AgentRegistrar(kas, POD, version, backoff=slow)
    agent.register_soon()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(agent.run())
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(kas.calls) == 1
        agent.register_soon()
        await kas.registered.acquire()
        task.cancel()


@pytest.mark.asyncio
async def test_a_kas_that_does_not_know_farewells_is_left_without_a_word():
    kas = FakeKas()
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(registrar(kas).run())
            await kas.registered.acquire()
            kas.failures.append(RpcError(StatusCode.UNIMPLEMENTED, "unknown method Unregister"))
            task.cancel()
    assert not [log for log in logs if log["log_level"] != "debug"]
