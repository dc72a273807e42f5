"""How far a connection has come: admitted or refused, once; then left; then closed."""

from __future__ import annotations

import pytest

from kasbah.agentk.reverse_tunnel.connection import ConnectionState, KasConnection
from kasbah.errors import PeerError


@pytest.mark.asyncio
async def test_whoever_is_admitted_stays_so():
    state = ConnectionState()
    assert not state.is_admitted
    state.admit()
    state.refuse("too late")
    state.admit()
    await state.admission()
    assert (state.is_admitted, state.leaving.is_set(), state.closed.is_set()) == (True, False, False)


@pytest.mark.asyncio
async def test_a_refusal_says_why_and_may_be_tried_again():
    state = ConnectionState()
    state.refuse("unauthenticated")
    state.admit()
    assert not state.is_admitted
    with pytest.raises(PeerError, match="unauthenticated") as refusal:
        await state.admission()
    assert refusal.value.retryable


@pytest.mark.asyncio
async def test_a_connection_that_is_lost_is_left_and_closed_and_was_refused_if_never_admitted():
    state = ConnectionState()
    state.lost("reset")
    assert (state.leaving.is_set(), state.closed.is_set()) == (True, True)
    with pytest.raises(PeerError, match="reset"):
        await state.admission()


def test_only_some_connections_know_the_agent_and_have_tunnels_to_count():
    assert (KasConnection().agent_id, KasConnection().tunnels) == (None, 0)
