"""Pushes, told to every replica: whichever kas the Git side tells, all their waiting calls hear of it.

Who waits in this process is woken at once and without Redis; the others by a message on the channel
`<prefix>events`, a serialized `google.protobuf.Any` of `gitlab.agent.event.GitPushEvent`. A notice is a hint, so one
that is lost costs the time until the next look and nothing else: nothing is kept for a Redis that is away.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from redis.asyncio import Redis

from kasbah.kas.notifications.pushes import GitPushes, PushEvent
from kasbah.kas.redis.client import RedisClient, RedisUnavailableError
from kasbah.kit.backoff import Backoff, BackoffSettings
from kasbah.kit.jitter import chance
from kasbah.wire.pb.gitlab.agent.event.event_pb2 import GitPushEvent, Project

_AGAIN: Final = BackoffSettings(initial_s=0.2, maximum_s=1, reset_s=30)
"""Short: each second that we are deaf, pushes are lost on this replica's agents until their next look."""
_MAX_UNTOLD: Final = 1000
"""Notices that wait to be told; more are dropped."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A push that another replica was told of; a `PushEvent`."""

    project_id: int
    full_path: str


class SharedGitPushes(GitPushes):
    """`GitPushes` of a deployment of several kas; `run` carries the notices."""

    def __init__(self, redis: RedisClient) -> None:
        super().__init__()
        self._redis = redis
        self._channel = f"{redis.prefix}events"
        self._untold: asyncio.Queue[bytes] = asyncio.Queue(_MAX_UNTOLD)

    async def git_push(self, event: PushEvent) -> None:
        """Wake everybody who watches the project, here and elsewhere; never waits for them."""
        await super().git_push(event)
        if not self._untold.full():
            self._untold.put_nowait(encode(event))

    async def run(self) -> None:
        """Tell the others and hear them, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell(), name="push notices out")
            tasks.create_task(self._hear(), name="push notices in")

    async def _tell(self) -> None:
        while True:
            message = await self._untold.get()
            with suppress(RedisUnavailableError):  # lost: who waits looks again by itself
                await self._redis.call("publish", partial(_publish, self._channel, message))

    async def _hear(self) -> None:
        loop, backoff = asyncio.get_running_loop(), Backoff(_AGAIN)
        while True:
            with suppress(RedisUnavailableError):  # said by the client
                async with self._redis.subscription(self._channel) as messages:
                    async for message in messages:
                        event = decode(message)
                        if event is not None:
                            await super().git_push(event)
            await asyncio.sleep(backoff.failed(loop.time(), chance()))


async def _publish(channel: str, message: bytes, redis: Redis) -> None:
    await redis.publish(channel, message)


def encode(event: PushEvent) -> bytes:
    """The message on the channel."""
    message = AnyMessage()
    message.Pack(GitPushEvent(project=Project(id=event.project_id, full_path=event.full_path)))
    return message.SerializeToString()


def decode(message: bytes) -> PushEvent | None:
    """The push, or None for anything else: events this kas does not know, and what is no event."""
    event = GitPushEvent()
    try:
        if not AnyMessage.FromString(message).Unpack(event):
            return None
    except DecodeError:
        return None
    return _Heard(event.project.id, event.project.full_path)
