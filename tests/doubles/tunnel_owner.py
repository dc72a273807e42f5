"""kas' server of tunnels, as agents' connections see it: writes down what it is told, and knows every token but some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.reverse_tunnel.pod import Admitted, PodConnection
from kasbah.kas.reverse_tunnel.refusal import Refusal
from kasbah.kit.secrets import Secret
from kasbah.rpc.server import CallServer
from kasbah.wire.methods import GET_CONFIGURATION, GITLAB_ACCESS_MAKE_REQUEST, REGISTER

AGENT = AgentInfo(agent_id=7, project_id=1, agent_name="a", project_path="g/p", default_branch="main")


class TunnelOwner:
    """Every token is agent 7's, unless `errors` has something to say first."""

    max_tunnels = 500

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self.rpc = CallServer[AgentCall](
            [
                (REGISTER, self._register),
                (GET_CONFIGURATION, self._configure),
                (GITLAB_ACCESS_MAKE_REQUEST, self._make_request),
            ]
        )
        self.errors: list[Exception] = []
        self.stopping = False
        self.no_room: Refusal | None = None
        self.asked: list[str] = []
        self.admitted: list[Admitted] = []
        self.said: list[str] = []
        self.calls: list[AgentCall] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def agent_info(self, token: Secret) -> AgentInfo:
        self.asked.append(token.reveal())
        await self.may_answer.wait()
        if self.errors:
            raise self.errors.pop(0)
        return AGENT

    def spawn(self, authenticate: Callable[[], Coroutine[object, object, None]]) -> bool:
        if self.stopping:
            return False
        self.tasks.create_task(authenticate())
        return True

    def admit(self, connection: PodConnection, admitted: Admitted) -> Refusal | None:
        if self.no_room is None:
            self.admitted.append(admitted)
            connection.welcome(admitted)
        return self.no_room

    def refused(self, connection: PodConnection, refusal: Refusal, error: Exception | None = None) -> None:
        self.said.append(refusal.reason)

    def tunnel_ready(self, agent_id: int) -> None:
        self.said.append(f"tunnel of {agent_id}")

    def draining(self, connection: PodConnection) -> None:
        self.said.append("draining")

    def lost(self, connection: PodConnection) -> None:
        self.said.append("lost")

    async def _register(self, call: AgentCall, _request: Any) -> Any:
        self.calls.append(call)
        return REGISTER.response()

    async def _configure(self, call: AgentCall, _request: Any) -> AsyncIterator[Any]:
        self.calls.append(call)
        yield GET_CONFIGURATION.response(commit_id="c")
        await asyncio.Event().wait()

    async def _make_request(self, call: AgentCall, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        self.calls.append(call)
        async for _ in requests:
            yield GITLAB_ACCESS_MAKE_REQUEST.response()
