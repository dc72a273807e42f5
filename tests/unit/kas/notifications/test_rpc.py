"""A push is told to who watches, when it says of what."""

from __future__ import annotations

import pytest

from kasbah.kas.notifications import rpc
from kasbah.kas.notifications.pushes import GitPushes, PushEvent
from kasbah.wire.pb.gitlab.agent.event.event_pb2 import GitPushEvent, Project
from kasbah.wire.pb.gitlab.agent.notifications.rpc.rpc_pb2 import GitPushEventRequest
from kasbah.wire.rpc import RpcError, StatusCode

pytestmark = pytest.mark.asyncio


def push(**project: object) -> GitPushEventRequest:
    return GitPushEventRequest(event=GitPushEvent(project=Project(**project)))


class Pushes:
    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    async def git_push(self, event: PushEvent) -> None:
        self.told.append((event.project_id, event.full_path))


async def test_a_push_is_passed_on():
    pushes = Pushes()
    ((_, answer),) = rpc.services(pushes)
    await answer(None, push(id=31, full_path="ops/fleet"))
    assert pushes.told == [(31, "ops/fleet")]


async def test_who_watches_wakes_up():
    pushes = GitPushes()
    with pushes.watch(31) as watch:
        await rpc.NotificationsApi(pushes).git_push_event(None, push(id=31, full_path="ops/fleet"))
        assert await watch.wait(1)


@pytest.mark.parametrize(
    "request_",
    [
        GitPushEventRequest(),
        GitPushEventRequest(event=GitPushEvent()),
        push(id=31),
        push(full_path="ops/fleet"),
        push(id=0, full_path="ops/fleet"),
        push(id=-1, full_path="ops/fleet"),
        push(id=31, full_path="x" * 5000),
    ],
    ids=range(7),
)
async def test_a_push_of_nothing_is_refused(request_: GitPushEventRequest):
    pushes = Pushes()
    with pytest.raises(RpcError) as caught:
        await rpc.NotificationsApi(pushes).git_push_event(None, request_)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT
    assert pushes.told == []
