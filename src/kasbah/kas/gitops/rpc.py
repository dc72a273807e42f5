"""Answers GetObjectsToSynchronize: waits until a ref stands elsewhere than the agent has it, and sends that set once.

A set is a header, objects of which those in a row under one source are pieces of one file, and a trailer; then the call
ends and the agent calls again with the commit it has. While nothing is new the call looks after every push and every few
minutes; while the Git side is away it waits. Which projects an agent may read the Git side says, by the agent's token.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final
from weakref import WeakValueDictionary

import structlog

from kasbah.kas.gitops.manifests import Manifests, Place
from kasbah.kas.gitops.request import Wanted, wanted_of
from kasbah.kas.gitops.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import (
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
    NoRepositoryRoutesError,
    RefNotFoundError,
)
from kasbah.kas.hub_client.records import ProjectInfo
from kasbah.kas.hub_client.statuses import status_of
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.usage_metrics.counters import GITOPS_SYNC, UsageCounters
from kasbah.kit.backoff import Backoff
from kasbah.kit.jitter import chance
from kasbah.kit.slots import NoSlotError, Slots
from kasbah.rpc.server import Service
from kasbah.wire.methods import GET_OBJECTS_TO_SYNCHRONIZE
from kasbah.wire.pb.gitlab.agent.gitops.rpc.rpc_pb2 import (
    ObjectsToSynchronizeRequest,
    ObjectsToSynchronizeResponse,
)
from kasbah.wire.rpc import RpcError, StatusCode

_log = structlog.get_logger()
MAX_CHUNK_BYTES: Final = 128 * 1024
_POLL_JITTER: Final = 0.1
"""A thousand agents that came back together do not look together for ever."""


class Gitops:
    """The handler and what all its calls share."""

    def __init__(self, hub: HubClient, pushes: GitPushes, usage: UsageCounters, settings: Settings) -> None:
        self._hub = hub
        self._manifests = Manifests(hub, settings)
        self._pushes = pushes
        self._usage = usage
        self._settings = settings
        self._slots = Slots[int](settings.max_calls_per_agent)
        self._turns = WeakValueDictionary[int, asyncio.Semaphore]()

    async def get_objects_to_synchronize(
        self, call: AgentCall, request: ObjectsToSynchronizeRequest
    ) -> AsyncIterator[ObjectsToSynchronizeResponse]:
        """The set at the next commit that the agent does not have.

        Raises:
            RpcError: there is no such set, or the agent may not read the project.
        """
        wanted = wanted_of(request, self._settings)
        try:
            with self._slots.take(call.agent.agent_id):
                place = await self._next_place(call, wanted)
                if place is not None:
                    async with aclosing(self._set(call.agent.agent_id, place, wanted)) as responses:
                        async for response in responses:
                            yield response
        except NoSlotError as error:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, f"too many calls of this agent: {error}") from error
        except HubError as error:
            raise RpcError(StatusCode.UNAVAILABLE, f"the set could not be read: {error}") from error

    async def _next_place(self, call: AgentCall, wanted: Wanted) -> Place | None:
        """Where the ref stands when it is not where the agent has it; None: ask again, the project is another one."""
        backoff = Backoff(self._settings.backoff)
        project = await self._project(call, wanted, backoff)
        with self._pushes.watch(project.project_id) as pushes:
            while True:
                project_id = project.project_id
                try:
                    commit_id = await self._hub.repository_ref(project_id, wanted.ref)
                except RefNotFoundError as error:
                    raise RpcError(StatusCode.NOT_FOUND, "the ref is not found in the project") from error
                except HubNotFoundError as error:
                    raise status_of(error, "project") from error
                except NoRepositoryRoutesError as error:
                    raise RpcError(StatusCode.FAILED_PRECONDITION, str(error)) from error
                except HubError as error:
                    await pushes.wait(self._failed(call, backoff, error))
                else:
                    if commit_id is not None and commit_id != wanted.commit_id:
                        return Place(project_id, commit_id)
                    jitter = 1 + chance() * _POLL_JITTER
                    await pushes.wait(self._settings.poll_interval_s * jitter)
                project = await self._project(call, wanted, backoff)
                if project.project_id != project_id:
                    return None

    async def _project(self, call: AgentCall, wanted: Wanted, backoff: Backoff) -> ProjectInfo:
        while True:
            try:
                return await self._hub.project_info(call.agent_token, wanted.project_path)
            except (HubUnauthenticatedError, HubForbiddenError, HubNotFoundError) as error:
                raise status_of(error, "project") from error
            except HubError as error:
                await asyncio.sleep(self._failed(call, backoff, error))

    def _failed(self, call: AgentCall, backoff: Backoff, error: HubError) -> float:
        delay_s = backoff.failed(asyncio.get_running_loop().time(), chance())
        _log.warning(
            "git side does not answer",
            agent_id=call.agent.agent_id,
            error=str(error),
            retry_in_s=round(delay_s, 2),
        )
        return delay_s

    async def _set(
        self, agent_id: int, place: Place, wanted: Wanted
    ) -> AsyncGenerator[ObjectsToSynchronizeResponse]:
        turns = self._turns.setdefault(agent_id, asyncio.Semaphore(self._settings.max_sets_per_agent))
        async with turns:
            paths = await self._manifests.choose(place, wanted)
            yield ObjectsToSynchronizeResponse(
                header=ObjectsToSynchronizeResponse.Header(
                    commit_id=place.commit_id, project_id=place.project_id
                )
            )
            async with aclosing(self._manifests.read(place, paths)) as files:
                async for path, content in files:
                    for start in range(0, len(content) or 1, MAX_CHUNK_BYTES):
                        piece = content[start : start + MAX_CHUNK_BYTES]
                        yield ObjectsToSynchronizeResponse(
                            object=ObjectsToSynchronizeResponse.Object(source=path, data=piece)
                        )
            yield ObjectsToSynchronizeResponse(trailer=ObjectsToSynchronizeResponse.Trailer())
        self._usage.count(GITOPS_SYNC)


def services(
    hub: HubClient, pushes: GitPushes, usage: UsageCounters, settings: Settings
) -> list[Service[AgentCall]]:
    """The calls this feature answers."""
    handler = Gitops(hub, pushes, usage, settings).get_objects_to_synchronize
    return [(GET_OBJECTS_TO_SYNCHRONIZE, handler)]
