"""The door to kas."""

from __future__ import annotations

import pytest

from kasbah.hub.kas_client import GitPushEvent, NullKasClient


@pytest.mark.asyncio
async def test_without_kas_nobody_is_told():
    await NullKasClient().git_push(GitPushEvent(project_id=1, full_path="a/b"))
