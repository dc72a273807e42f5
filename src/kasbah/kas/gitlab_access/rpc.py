"""Answers GitlabAccess: a request of an agent's module goes to its counterpart on the Git side, and the answer back.

Whatever the Git side answers is a good answer of the call. Each piece is passed on as it comes; nothing is held but
one. How many requests there are at a time is bounded for each agent and for all together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

from kasbah.kas.gitlab_access.settings import Settings
from kasbah.kas.gitlab_access.upload import Upload
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import HubUnauthenticatedError, HubUnavailableError
from kasbah.kas.hub_client.exchange import StreamedAnswer
from kasbah.kas.hub_client.module_request import (
    BadModuleRequestError,
    ModuleRequest,
    checked,
    response_headers,
)
from kasbah.kas.hub_client.statuses import status_of
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kit.slots import NoSlotError, Slots
from kasbah.rpc.server import Service
from kasbah.wire.http_call.half import MAX_CHUNK_BYTES
from kasbah.wire.methods import GITLAB_ACCESS_MAKE_REQUEST
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.rpc import RpcError, StatusCode


class GitlabAccess:
    """The handler and what all its calls share."""

    def __init__(self, hub: HubClient, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings
        self._of_agents = Slots[int](settings.max_requests_per_agent)
        self._all = Slots[None](settings.max_requests)

    async def make_request(
        self, call: AgentCall, requests: AsyncIterator[HttpRequest]
    ) -> AsyncIterator[HttpResponse]:
        """The Git side's answer to the request.

        Raises:
            RpcError: the request cannot be made, or there is no whole answer.
        """
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                with self._slot(call.agent.agent_id):
                    async with aclosing(self._exchange(call, requests)) as responses:
                        async for response in responses:
                            yield response
        except TimeoutError as error:
            raise RpcError(StatusCode.DEADLINE_EXCEEDED, "the request takes too long") from error

    async def _exchange(
        self, call: AgentCall, requests: AsyncIterator[HttpRequest]
    ) -> AsyncGenerator[HttpResponse]:
        upload = Upload(requests, self._settings)
        header, module = await upload.head()
        request = _checked(header, module)
        body = upload.body() if await upload.has_body() else None
        try:
            async with self._hub.module_request(call.agent_token, request, body, upload.length) as answer:
                if upload.error is not None:  # whoever read the body kept it to themselves
                    raise upload.error
                async with aclosing(self._responses(answer)) as responses:
                    async for response in responses:
                        yield response
        except HubUnauthenticatedError as error:
            raise status_of(error, "agent") from error
        except HubUnavailableError as error:
            raise upload.error or RpcError(StatusCode.UNAVAILABLE, str(error)) from error

    async def _responses(self, answer: StreamedAnswer) -> AsyncGenerator[HttpResponse]:
        yield _head_of(answer)
        size = 0
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._settings.max_response_bytes:
                    limit = self._settings.max_response_bytes
                    raise RpcError(
                        StatusCode.RESOURCE_EXHAUSTED, f"the response is over the limit of {limit} bytes"
                    )
                for start in range(0, len(chunk), MAX_CHUNK_BYTES):
                    yield HttpResponse(data=HttpResponse.Data(data=chunk[start : start + MAX_CHUNK_BYTES]))
        yield HttpResponse(trailer=HttpResponse.Trailer())

    @contextmanager
    def _slot(self, agent_id: int) -> Iterator[None]:
        try:
            with self._of_agents.take(agent_id), self._all.take(None):
                yield
        except NoSlotError as error:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, f"too many requests at a time: {error}") from error


def services(hub: HubClient, settings: Settings) -> list[Service[AgentCall]]:
    """The calls this feature answers."""
    return [(GITLAB_ACCESS_MAKE_REQUEST, GitlabAccess(hub, settings).make_request)]


def _checked(header: HttpRequest.Header, module: str) -> ModuleRequest:
    request = header.request
    try:
        return checked(
            request.method,
            module,
            request.url_path,
            {key: values.value for key, values in request.query.items()},
            {name: values.value for name, values in request.header.items()},
        )
    except BadModuleRequestError as error:
        raise RpcError(StatusCode.INVALID_ARGUMENT, str(error)) from error


def _head_of(answer: StreamedAnswer) -> HttpResponse:
    head = HttpResponse.Header()
    head.response.status_code = answer.status
    head.response.status = f"{answer.status} {answer.reason}".rstrip()
    for name, values in response_headers(answer.headers).items():
        head.response.header[name].value.extend(values)
    return HttpResponse(header=head)
