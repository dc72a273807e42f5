"""Agent tokens: two at a time, hashed, and last used when."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from kasbah.hub.agents import store
from kasbah.hub.agents.model import Agent, NewAgentToken
from kasbah.hub.errors import InvalidError, RecordNotFoundError, RefusedError, UnauthenticatedError
from kasbah.hub.identity import User
from kasbah.kit.secrets import Secret
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio
NEW = NewAgentToken(name="t", description=None)


async def owner_and_agent(hub: HubServices) -> tuple[User, Agent]:
    mia = await hub.user("mia")
    return mia, await hub.agent(mia, await hub.project(mia, "fleet"))


async def test_a_token_names_its_agent(hub: HubServices):
    mia, agent = await owner_and_agent(hub)
    token, secret = await hub.agent_tokens.create(mia, agent, NEW)
    assert re.fullmatch(r"glagent-[A-Za-z0-9_-]{50}", secret.reveal())
    assert await hub.agent_tokens.authenticate(secret) == (token, agent)


@pytest.mark.parametrize("value", ["", "glagent-x", "x" * 1_000_000])
async def test_an_unknown_token_is_refused(hub: HubServices, value):
    with pytest.raises(UnauthenticatedError):
        await hub.agent_tokens.authenticate(Secret(value))


async def test_a_revoked_token_is_refused_and_hidden(hub: HubServices):
    mia, agent = await owner_and_agent(hub)
    token, secret = await hub.agent_tokens.create(mia, agent, NEW)
    await hub.agent_tokens.revoke(agent, token.id)
    await hub.agent_tokens.revoke(agent, token.id)
    with pytest.raises(UnauthenticatedError):
        await hub.agent_tokens.authenticate(secret)
    with pytest.raises(RecordNotFoundError):
        await hub.agent_tokens.get_active(agent, token.id)


async def test_two_are_active_at_most(hub: HubServices):
    mia, agent = await owner_and_agent(hub)
    first, _ = await hub.agent_tokens.create(mia, agent, NEW)
    await hub.agent_tokens.create(mia, agent, NEW)
    with pytest.raises(RefusedError, match="only two active tokens at a time"):
        await hub.agent_tokens.create(mia, agent, NEW)
    await hub.agent_tokens.revoke(agent, first.id)
    await hub.agent_tokens.create(mia, agent, NEW)


async def test_a_deleted_agent_gets_no_token_and_has_none(hub: HubServices):
    mia, agent = await owner_and_agent(hub)
    _, secret = await hub.agent_tokens.create(mia, agent, NEW)
    await hub.agents.delete(agent)
    with pytest.raises(UnauthenticatedError):
        await hub.agent_tokens.authenticate(secret)
    with pytest.raises(RecordNotFoundError):
        await hub.agent_tokens.create(mia, agent, NEW)


async def test_a_token_of_another_agent_is_not_found(hub: HubServices):
    mia, agent = await owner_and_agent(hub)
    other = await hub.agent(mia, await hub.project(mia, "other"))
    token, _ = await hub.agent_tokens.create(mia, agent, NEW)
    with pytest.raises(RecordNotFoundError):
        await hub.agent_tokens.revoke(other, token.id)


async def test_a_token_without_a_name_is_not_made(hub: HubServices):
    mia, agent = await owner_and_agent(hub)
    with pytest.raises(InvalidError, match="can't be blank"):
        await hub.agent_tokens.create(mia, agent, NewAgentToken(name="", description=None))


async def test_the_last_use_is_shown_at_once_and_written_later(hub: HubServices):
    mia, agent = await owner_and_agent(hub)
    token, secret = await hub.agent_tokens.create(mia, agent, NEW)
    start = hub.clock()
    for _ in range(3):
        await hub.agent_tokens.authenticate(secret)
        hub.clock.turn(minutes=5)
    shown = await hub.agent_tokens.get_active(agent, token.id)
    assert shown.last_used_at == start + timedelta(minutes=10)
    assert await column(hub, agent, token.id) == start
    await hub.agent_tokens.flush_last_used()
    assert await column(hub, agent, token.id) == shown.last_used_at


async def column(hub: HubServices, agent: Agent, token_id: int):
    async with hub.database.reading() as connection:
        token = await store.find_token(connection, agent.id, token_id)
    assert token is not None
    return token.last_used_at


async def test_the_last_used_comes_first(hub: HubServices):
    mia, agent = await owner_and_agent(hub)
    _, first = await hub.agent_tokens.create(mia, agent, NEW)
    second, secret = await hub.agent_tokens.create(mia, agent, NEW)
    await hub.agent_tokens.authenticate(secret)
    assert (await hub.agent_tokens.list_active(agent))[0].id == second.id
    hub.clock.turn(minutes=1)
    await hub.agent_tokens.authenticate(first)
    assert (await hub.agent_tokens.list_active(agent))[1].id == second.id
