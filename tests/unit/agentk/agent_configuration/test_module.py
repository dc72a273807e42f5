"""The watch on the configuration: all modules or none, the last good one stays, and it goes on whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from kasbah.agentk.agent_configuration.module import AgentConfigurationWatch
from kasbah.agentk.module import LatestValue
from kasbah.errors import UserError
from kasbah.kit.backoff import BackoffSettings
from kasbah.wire.methods import GET_CONFIGURATION
from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc.rpc_pb2 import (
    ConfigurationRequest,
    ConfigurationResponse,
)
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration
from kasbah.wire.rpc import RpcError, StatusCode

AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)
Step = ConfigurationResponse | RpcError


@dataclass
class FakeKas:
    """Plays one script a call; after the last one it stays silent."""

    calls: list[list[Step]]
    requests: list[ConfigurationRequest] = field(default_factory=list)
    silent: asyncio.Event = field(default_factory=asyncio.Event)

    async def server_stream(self, method: Any, request: Any) -> AsyncGenerator[Any, None]:
        assert method is GET_CONFIGURATION
        self.requests.append(request)
        if not self.calls:
            self.silent.set()
            await asyncio.Event().wait()
        for step in self.calls.pop(0):
            if isinstance(step, RpcError):
                raise step
            yield step


@dataclass
class FakeModule:
    name: str = "fake"
    leader_only: bool = False
    refuses: str = ""

    def validate(self, configuration: AgentConfiguration) -> None:
        if self.refuses and self.refuses in configuration.flux.webhook_receiver_url:
            raise UserError("not this")

    async def run(self, configurations: LatestValue[AgentConfiguration]) -> None: ...


def answer(
    commit_id: str, url: str = "", agent_id: int = 7, external: str = "https://git"
) -> ConfigurationResponse:
    configuration = AgentConfiguration(agent_id=agent_id, gitlab_external_url=external)
    configuration.flux.webhook_receiver_url = url
    return ConfigurationResponse(commit_id=commit_id, configuration=configuration)


async def delivered(*calls: list[Step], refuses: str = "") -> tuple[FakeKas, list[str | None]]:
    """What two modules hold when kas has said all; the second one refuses a word."""
    kas = FakeKas(list(calls))
    slots: list[LatestValue[AgentConfiguration]] = [LatestValue(), LatestValue()]
    modules = [(FakeModule(), slots[0]), (FakeModule(refuses=refuses), slots[1])]
    watch = AgentConfigurationWatch(kas, modules, backoff=AT_ONCE, pause_s=0)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch.run())
        await kas.silent.wait()
        task.cancel()
    held = [slot._value.flux.webhook_receiver_url if slot._value else None for slot in slots]
    return kas, held


@pytest.mark.asyncio
async def test_every_module_gets_the_configuration():
    _, held = await delivered([answer("a", "one")])
    assert held == ["one", "one"]


@pytest.mark.asyncio
async def test_the_next_call_says_which_commit_is_known_and_that_registering_is_elsewhere():
    kas, _ = await delivered([answer("a"), answer("b")], [answer("c")])
    assert [request.commit_id for request in kas.requests] == ["", "b", "c"]
    assert all(request.skip_register for request in kas.requests)


@pytest.mark.asyncio
async def test_what_one_module_rejects_reaches_none_and_is_not_asked_for_again():
    kas, held = await delivered([answer("a", "good"), answer("b", "bad")], refuses="bad")
    assert held == ["good", "good"]
    assert kas.requests[-1].commit_id == "b"


@pytest.mark.parametrize("changed", [{"agent_id": 8}, {"external": "https://other"}])
@pytest.mark.asyncio
async def test_a_configuration_of_another_agent_is_rejected(changed: dict[str, Any]):
    kas, held = await delivered([answer("a", "one"), answer("b", "two", **changed)])
    assert held == ["one", "one"]
    assert kas.requests[-1].commit_id == "a"


@pytest.mark.parametrize(
    "code", [StatusCode.UNAVAILABLE, StatusCode.FAILED_PRECONDITION, StatusCode.UNAUTHENTICATED]
)
@pytest.mark.asyncio
async def test_a_call_that_fails_is_made_again_and_nothing_is_lost(code: StatusCode):
    _, held = await delivered([answer("a", "one"), RpcError(code, "no")], [RpcError(code, "no")], [])
    assert held == ["one", "one"]


@pytest.mark.asyncio
async def test_one_mistake_after_another_is_never_answered_by_longer_waiting():
    script = [
        [answer(str(number)), RpcError(StatusCode.FAILED_PRECONDITION, "Config: no")] for number in range(20)
    ]
    kas = FakeKas([list(steps) for steps in script])
    slow = BackoffSettings(initial_s=3600, maximum_s=3600, reset_s=1)
    watch = AgentConfigurationWatch(kas, [], backoff=slow, pause_s=0)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch.run())
        await kas.silent.wait()
        task.cancel()
    assert watch.commit_id == "19"


@pytest.mark.asyncio
async def test_a_call_that_kas_ended_is_made_again_at_once_but_not_forever():
    kas = FakeKas([[answer("a")], []])
    watch = AgentConfigurationWatch(kas, [], pause_s=3600)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch.run())
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
    assert [request.commit_id for request in kas.requests] == ["", "a"]


@pytest.mark.asyncio
async def test_a_refusal_is_logged_with_its_status_and_its_text():
    with capture_logs() as logs:
        await delivered([RpcError(StatusCode.FAILED_PRECONDITION, "Config: no such key")], [])
    assert [log["error"] for log in logs if log["log_level"] == "warning"] == [
        "failed_precondition: Config: no such key"
    ]
