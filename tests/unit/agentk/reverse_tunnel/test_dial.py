"""Each step of dialling has its own time; the steps themselves are tested in their own files and over loopback."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.agentk.reverse_tunnel.dial import _at_most
from kasbah.errors import PeerError


@pytest.mark.asyncio
async def test_a_step_that_takes_too_long_is_named():
    with pytest.raises(PeerError, match="the proxy does not answer within 0 s") as error:
        async with _at_most(0, "the proxy does not answer"):
            await asyncio.Event().wait()
    assert error.value.retryable


@pytest.mark.asyncio
async def test_the_caller_s_own_time_limit_stays_the_caller_s():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0), _at_most(60, "no answer"):
            await asyncio.Event().wait()
