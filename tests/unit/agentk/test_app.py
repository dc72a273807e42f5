from __future__ import annotations

import asyncio

import pytest

from kasbah.agentk.app import stage
from kasbah.errors import PeerError


async def note_life(name: str, said: list[str]) -> None:
    said.append(f"{name} up")
    try:
        await asyncio.Event().wait()
    finally:
        said.append(f"{name} down")


@pytest.mark.asyncio
async def test_stages_stop_in_the_opposite_order():
    said: list[str] = []
    async with stage(note_life("modules", said)), stage(note_life("tunnel", said)):
        await asyncio.sleep(0)
    assert said == ["modules up", "tunnel up", "tunnel down", "modules down"]


@pytest.mark.asyncio
async def test_a_part_that_fails_takes_the_program_along():
    async def fail() -> None:
        raise PeerError("lost")

    said: list[str] = []
    with pytest.raises(BaseExceptionGroup) as caught:
        async with stage(fail(), note_life("other", said)), stage(note_life("tunnel", said)):
            await asyncio.Event().wait()
    assert caught.group_contains(PeerError, match="lost")
    assert "other down" in said
