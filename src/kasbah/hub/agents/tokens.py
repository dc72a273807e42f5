"""Agent tokens: made, shown once, at most two active at a time, revoked; and the check of one that kas received."""

from __future__ import annotations

from dataclasses import replace

import structlog

from kasbah.hub.agents import store
from kasbah.hub.agents.model import (
    CHARACTERS,
    MOST_ACTIVE_TOKENS,
    PREFIX,
    Agent,
    AgentToken,
    NewAgentToken,
)
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import (
    DatabaseUnavailableError,
    InvalidError,
    RecordNotFoundError,
    RefusedError,
    UnauthenticatedError,
)
from kasbah.hub.identity import User
from kasbah.hub.last_used import LastUsed
from kasbah.kit.secrets import Secret, fingerprint, generate_token

_LONGEST_CREDENTIAL = 1024

_log = structlog.get_logger()


class AgentTokenService:
    """The life of agent tokens, and their check."""

    def __init__(self, database: Database, clock: Clock, last_used: LastUsed) -> None:
        self._database = database
        self._clock = clock
        self._last_used = last_used

    async def create(self, caller: User, agent: Agent, new: NewAgentToken) -> tuple[AgentToken, Secret]:
        """The token's record and its value, which is known now and never again.

        Raises:
            InvalidError: a text is missing or too long.
            RefusedError: the agent has two active tokens.
            RecordNotFoundError: the agent was deleted a moment ago.
        """
        if problems := new.problems():
            raise InvalidError(problems)
        secret = generate_token(PREFIX, CHARACTERS)
        async with self._database.writing() as connection:
            if await store.lock(connection, agent.id) is None:
                raise RecordNotFoundError
            if await store.count_active_tokens(connection, agent.id) >= MOST_ACTIVE_TOKENS:
                raise RefusedError("An agent can have only two active tokens at a time")
            token = await store.insert_token(
                connection, agent.id, new, fingerprint(secret), user_id=caller.id, now=self._clock()
            )
        return token, secret

    async def list_active(self, agent: Agent) -> list[AgentToken]:
        """The active tokens, the last used first."""
        async with self._database.reading() as connection:
            tokens = [self._current(token) for token in await store.list_active_tokens(connection, agent.id)]
        never = [token for token in tokens if token.last_used_at is None]
        used = sorted(
            (token for token in tokens if token.last_used_at is not None),
            key=lambda token: token.last_used_at or token.created_at,
            reverse=True,
        )
        return [*used, *never]

    async def get_active(self, agent: Agent, token_id: int) -> AgentToken:
        """Raises RecordNotFoundError also for a revoked token."""
        token = await self._get(agent, token_id)
        if token.status != "active":
            raise RecordNotFoundError
        return self._current(token)

    async def revoke(self, agent: Agent, token_id: int) -> None:
        """Cut the token off; the row stays. Doing so twice is fine."""
        token = await self._get(agent, token_id)
        async with self._database.writing() as connection:
            await store.revoke_token(connection, token.id)
        self._last_used.forget(token.id)

    async def authenticate(self, secret: Secret) -> tuple[AgentToken, Agent]:
        """The agent that sent this token to kas.

        Raises:
            UnauthenticatedError: unknown or revoked.
        """
        if len(secret.reveal()) > _LONGEST_CREDENTIAL:
            raise UnauthenticatedError
        async with self._database.reading() as connection:
            token = await store.find_active_token(connection, fingerprint(secret))
            agent = await store.find(connection, token.agent_id) if token else None
        if token is None or agent is None:
            raise UnauthenticatedError
        await self._note_use(token)
        return token, agent

    async def flush_last_used(self) -> None:
        """Write what only memory knows: the program is about to end."""
        async with self._database.writing() as connection:
            for token_id, at in self._last_used.unwritten().items():
                await store.write_token_last_used(connection, token_id, at)

    async def _note_use(self, token: AgentToken) -> None:
        now = self._clock()
        if not self._last_used.note(token.id, now, token.last_used_at):
            return
        try:
            async with self._database.writing() as connection:
                await store.write_token_last_used(connection, token.id, now)
        except DatabaseUnavailableError as error:  # a full disk must not lock agents out
            _log.warning("last use not written", agent_id=token.agent_id, error=str(error))

    async def _get(self, agent: Agent, token_id: int) -> AgentToken:
        async with self._database.reading() as connection:
            token = await store.find_token(connection, agent.id, token_id)
        if token is None:
            raise RecordNotFoundError
        return token

    def _current(self, token: AgentToken) -> AgentToken:
        return replace(token, last_used_at=self._last_used.newest(token.id, token.last_used_at))
