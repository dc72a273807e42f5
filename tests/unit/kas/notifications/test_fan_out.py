"""What a notice is on the channel; how it travels is in tests/integration/kas/notifications."""

from __future__ import annotations

import pytest

from kasbah.kas.notifications import fan_out
from kasbah.kas.notifications.fan_out import SharedGitPushes
from kasbah.kas.redis.client import RedisClient
from kasbah.kas.redis.settings import RedisSettings


def push(project_id: int = 31, full_path: str = "ops/fleet") -> fan_out.PushEvent:
    return fan_out._Heard(project_id, full_path)


def test_a_notice_is_an_any_of_gitlabs_event():
    message = fan_out.encode(push())
    assert b"type.googleapis.com/gitlab.agent.event.GitPushEvent" in message
    assert fan_out.decode(message) == push()


@pytest.mark.parametrize(
    "message",
    [b"\xff", b"", b"\x0a\x1ftype.googleapis.com/some.Message", fan_out.encode(push())[:-1]],
)
def test_anything_else_is_passed_over(message: bytes):
    assert fan_out.decode(message) is None


@pytest.mark.asyncio
async def test_who_waits_here_is_woken_without_redis_and_notices_are_bounded():
    pushes = SharedGitPushes(RedisClient(RedisSettings(addresses=("127.0.0.1:1",))))
    with pushes.watch(31) as watch:
        for _ in range(2000):
            await pushes.git_push(push())
        assert await watch.wait(0)
    assert pushes._untold.qsize() == 1000
