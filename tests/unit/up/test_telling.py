"""Who is told of pushes."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.hub.kas_client import GitPushEvent
from kasbah.hub.remote_kas import RemoteKas
from kasbah.up.flags import parse
from kasbah.up.telling import Telling, remote_kas

PUSH = GitPushEvent(project_id=1, full_path="a/b")


class Told:
    def __init__(self) -> None:
        self.events: list[object] = []

    async def git_push(self, event: object) -> None:
        self.events.append(event)


@pytest.mark.asyncio
async def test_a_push_before_kas_is_composed_is_only_a_hint_that_is_lost():
    telling = Telling()
    await telling.git_push(PUSH)
    telling.here = here = Told()
    await telling.git_push(PUSH)
    assert here.events == [PUSH]


@pytest.mark.asyncio
async def test_a_kas_elsewhere_is_told_too():
    elsewhere, here = Told(), Told()
    telling = Telling(elsewhere)
    telling.here = here
    await telling.git_push(PUSH)
    assert elsewhere.events == here.events == [PUSH]


@pytest.mark.asyncio
async def test_a_kas_elsewhere_shares_our_secret_unless_another_is_given(tmp_path: Path):
    own, other = tmp_path / "own", tmp_path / "other"
    own.write_bytes(base64.b64encode(b"k" * 32))
    assert remote_kas(parse([], {}), own) is None
    assert isinstance(remote_kas(parse(["--kas-api", "grpcs://kas:8153"], {}), own), RemoteKas)
    flags = ["--kas-api", "grpc://kas:8153", "--kas-api-secret-file", str(other)]
    with pytest.raises(UserError, match="cannot read the secret file"):
        remote_kas(parse(flags, {}), own)
