"""Answers GetConfiguration: the configuration now, and every later one until the agent hangs up.

The call looks at the default branch when it starts, after every push and every few minutes; the pods of an agent, and
the agents of a project, look together. A commit whose file
cannot be used ends the call with the reason, as GitLab's kas does; the same pod calling again is not told twice but
waits for the next commit, so the correction of a mistake arrives at once too. While the Git side is away the call
waits; an agent keeps what it has.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from kasbah.kas.agent_configuration.settings import Settings
from kasbah.kas.agent_configuration.source import (
    ConfigurationSource,
    NewConfiguration,
    UnusableConfigurationError,
)
from kasbah.kas.agent_tracker import meta
from kasbah.kas.agent_tracker.tracker import AgentTracker, TrackerUnavailableError
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import (
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
    NoRepositoryRoutesError,
)
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.hub_client.statuses import status_of
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kit.backoff import Backoff
from kasbah.kit.jitter import chance
from kasbah.rpc.server import Service
from kasbah.wire.methods import GET_CONFIGURATION
from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc.rpc_pb2 import (
    ConfigurationRequest,
    ConfigurationResponse,
)
from kasbah.wire.rpc import RpcError, StatusCode

_log = structlog.get_logger()
_MAX_REMEMBERED_PODS: Final = 10_000
_MAX_COMMIT_ID: Final = 256
_POLL_JITTER: Final = 0.1
"""A thousand agents that came back together do not look together for ever."""


@dataclass(slots=True)
class _Watch:
    """One call in progress."""

    call: AgentCall
    commit_id: str
    """What the agent has, or was sent."""
    backoff: Backoff
    untold: NewConfiguration | None = None
    """What the agent was sent and the Git side could not be told."""


@dataclass(slots=True)
class _Refusals:
    """Which commit each pod was already told to be unusable; bounded."""

    _commits: OrderedDict[tuple[int, int], str] = field(default_factory=OrderedDict)

    def remember(self, call: AgentCall, commit_id: str) -> None:
        self._commits[call.agent.agent_id, call.connection_id] = commit_id
        self._commits.move_to_end((call.agent.agent_id, call.connection_id))
        if len(self._commits) > _MAX_REMEMBERED_PODS:
            self._commits.popitem(last=False)

    def of(self, call: AgentCall) -> str | None:
        return self._commits.get((call.agent.agent_id, call.connection_id))


class AgentConfigurationService:
    """The handler and what all its calls share."""

    def __init__(self, hub: HubClient, pushes: GitPushes, tracker: AgentTracker, settings: Settings) -> None:
        self._hub = hub
        self._source = ConfigurationSource(hub, settings)
        self._pushes = pushes
        self._tracker = tracker
        self._settings = settings
        self._refusals = _Refusals()

    async def get_configuration(
        self, call: AgentCall, request: ConfigurationRequest
    ) -> AsyncIterator[ConfigurationResponse]:
        """The configuration, again whenever it changes.

        Raises:
            RpcError: the agent is not known any more, or a file cannot be used.
        """
        if len(request.commit_id) > _MAX_COMMIT_ID:
            raise RpcError(StatusCode.INVALID_ARGUMENT, f"commit_id is over {_MAX_COMMIT_ID} characters")
        watch = _Watch(call, request.commit_id, Backoff(self._settings.backoff))
        loop = asyncio.get_running_loop()
        async with self._tracked(call, request) as still_there:
            with self._pushes.watch(call.agent.project_id) as pushes:
                since = loop.time()
                while True:
                    await still_there()
                    new, wait_s = await self._look(watch, since)
                    if new is not None:
                        yield ConfigurationResponse(configuration=new.configuration, commit_id=new.commit_id)
                    pushed = await pushes.wait(wait_s)
                    # Another call's look will do: one after the push, or half as old as the wait was long.
                    since = pushes.noticed_at if pushed else loop.time() - wait_s / 2

    @asynccontextmanager
    async def _tracked(
        self, call: AgentCall, request: ConfigurationRequest
    ) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
        """Agents from before AgentRegistrar are connected while this call lasts; gives what says so again.

        They say who they are here. Agents that no longer have anything to say here register.
        """
        if request.skip_register or not request.HasField("agent_meta"):
            yield _nothing
            return
        pod = meta.connected_agent(call.agent, call.connection_id, request.agent_meta)

        async def still_there() -> None:
            with _tracker_may_be_away(call):
                await self._tracker.register(pod)

        try:
            yield still_there
        finally:
            with _tracker_may_be_away(call):
                await self._tracker.unregister(pod.agent_id, pod.connection_id)

    async def _look(self, watch: _Watch, since: float) -> tuple[NewConfiguration | None, float]:
        """What is new `since`, and how long to wait before the next look if nothing is pushed."""
        try:
            new = await self._newer(watch, since)
        except (HubUnauthenticatedError, HubForbiddenError, HubNotFoundError) as error:
            raise status_of(error, "agent") from error
        except NoRepositoryRoutesError as error:
            raise RpcError(StatusCode.FAILED_PRECONDITION, f"Config: {error}") from error
        except HubError as error:
            return None, self._failed(watch, error)
        except UnusableConfigurationError as error:
            self._refusals.remember(watch.call, error.commit_id)
            _log.info("agent configuration refused", agent_id=watch.call.agent.agent_id, error=str(error))
            raise RpcError(StatusCode.FAILED_PRECONDITION, f"Config: {error}") from error
        if new is not None:
            watch.commit_id = new.commit_id
            watch.untold = new
        return new, await self._tell(watch, since)

    async def _newer(self, watch: _Watch, since: float) -> NewConfiguration | None:
        agent = await self._agent(watch.call)
        try:
            head = await self._source.head(agent.project_id, since=since)
        except HubNotFoundError as error:
            raise RpcError(StatusCode.NOT_FOUND, f"Config: repository poll failed: {error}") from error
        if head is None or head in {watch.commit_id, self._refusals.of(watch.call)}:
            return None
        return await self._source.at(agent, head, since=since)

    async def _agent(self, call: AgentCall) -> AgentInfo:
        """The agent as the Git side knows it now; its token may have been revoked since the call began."""
        agent = await self._hub.agent_info(call.agent_token)
        if agent.agent_id != call.agent.agent_id:
            raise HubUnauthenticatedError("the token belongs to another agent now")
        return agent

    async def _tell(self, watch: _Watch, since: float) -> float:
        """Tell the Git side what no call has told it `since`; a failure must not keep anything from the agent."""
        if watch.untold is not None:
            try:
                await self._source.tell(watch.call.agent.agent_id, watch.untold, since=since)
            except HubError as error:
                return self._failed(watch, error)
            watch.untold = None
        return self._settings.poll_interval_s * (1 + chance() * _POLL_JITTER)

    def _failed(self, watch: _Watch, error: HubError) -> float:
        delay_s = watch.backoff.failed(asyncio.get_running_loop().time(), chance())
        _log.warning(
            "git side does not answer",
            agent_id=watch.call.agent.agent_id,
            error=str(error),
            retry_in_s=round(delay_s, 2),
        )
        return delay_s


def services(
    hub: HubClient, pushes: GitPushes, tracker: AgentTracker, settings: Settings
) -> list[Service[AgentCall]]:
    """The calls this feature answers."""
    service = AgentConfigurationService(hub, pushes, tracker, settings)
    return [(GET_CONFIGURATION, service.get_configuration)]


async def _nothing() -> None:
    """For calls that are no connection of their own."""


@contextmanager
def _tracker_may_be_away(call: AgentCall) -> Iterator[None]:
    """Whether people see the pod must not decide whether it gets its configuration."""
    try:
        yield
    except TrackerUnavailableError as error:
        _log.warning("agent pod not tracked", agent_id=call.agent.agent_id, error=str(error))
