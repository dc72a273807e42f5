"""Watches the configuration that kas sends and delivers it, once every module agrees with it.

The call to kas stays open; each answer is a whole configuration. It is delivered to all modules or to none: one that
any module rejects, or that claims to be another agent's, is logged and the last good one stays. While kas is away the
modules keep what they have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Protocol, TypeVar

import structlog
from google.protobuf.message import Message

from kasbah.agentk.module import LatestValue, Module
from kasbah.errors import UserError
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.tasks import keep_trying
from kasbah.wire.methods import GET_CONFIGURATION
from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc.rpc_pb2 import (
    ConfigurationRequest,
    ConfigurationResponse,
)
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration
from kasbah.wire.rpc import RpcError, ServerStreamMethod, StatusCode

_log = structlog.get_logger()

BACKOFF: Final = BackoffSettings(initial_s=0.5, maximum_s=30, reset_s=10)
"""After a refusal of the first answer. It starts over soon: whoever corrects a file is waiting for the result."""
PAUSE_S: Final = 0.5
"""After a call that broke off when it was good for a while, and without a tunnel, which has a back-off of its own."""
_QUICK_S: Final = 1.0

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


class StreamCalls(Protocol):
    """What this module needs of the connection to kas."""

    def server_stream(
        self, method: ServerStreamMethod[Req, Resp], request: Req
    ) -> AsyncGenerator[Resp, None]:
        """One request, answers until kas ends; raises `RpcError`."""


class AgentConfigurationWatch:
    """Delivers to modules; each has a slot of its own for the newest value.

    Attributes:
        commit_id: the commit of the last configuration that was judged, good or not; empty before the first.
    """

    def __init__(
        self,
        calls: StreamCalls,
        modules: Sequence[tuple[Module, LatestValue[AgentConfiguration]]],
        *,
        backoff: BackoffSettings = BACKOFF,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._calls = calls
        self._modules = modules
        self._backoff = backoff
        self._pause_s = pause_s
        self._identity: tuple[int, str] | None = None
        self._ended_at = float("-inf")
        self.commit_id = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        await keep_trying("agent_configuration", self._watch, self._backoff)

    async def _watch(self) -> None:
        request = ConfigurationRequest(commit_id=self.commit_id, skip_register=True)
        received = 0
        try:
            async with aclosing(self._calls.server_stream(GET_CONFIGURATION, request)) as responses:
                async for response in responses:
                    received += 1
                    self._receive(response)
        except RpcError as error:
            status = error.code.name.lower()
            if error.code is StatusCode.UNAVAILABLE:
                _log.debug("no configuration without a tunnel", error=str(error))
            elif received:  # the call was good for a while: a mistake in a file that was good before, perhaps
                _log.warning("configuration refused by kas", status=status, error=str(error))
            else:
                raise RpcError(error.code, f"{status}: {error}") from error
            await asyncio.sleep(self._pause_s)
        else:
            await self._ended()

    async def _ended(self) -> None:
        """Kas ends a call when its connection has become old: go on at once, unless it does nothing else."""
        now = asyncio.get_running_loop().time()
        if now - self._ended_at < _QUICK_S:
            await asyncio.sleep(self._pause_s)
        self._ended_at = now

    def _receive(self, response: ConfigurationResponse) -> None:
        configuration = response.configuration
        log = _log.bind(commit_id=response.commit_id)
        identity = (configuration.agent_id, configuration.gitlab_external_url)
        if self._identity not in {None, identity}:
            log.error("configuration rejected", error="it belongs to another agent", agent_id=identity[0])
            return
        self._identity = identity
        self.commit_id = response.commit_id
        if problem := self._problem_with(configuration):
            log.error("configuration rejected", error=problem)
            return
        for _, slot in self._modules:
            slot.put(configuration)
        sections = [field.name for field, _ in configuration.ListFields() if field.message_type is not None]
        log.info("configuration applied", agent_id=configuration.agent_id, sections=sections)

    def _problem_with(self, configuration: AgentConfiguration) -> str:
        """What the first module that cannot use it says; empty when all can."""
        for module, _ in self._modules:
            try:
                module.validate(configuration)
            except UserError as error:
                return f"{module.name}: {error}"
        return ""
