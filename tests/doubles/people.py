"""Who may use which agent, in memory: what the Git side answers about tokens, sessions and CI jobs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar

from kasbah.kas.hub_client.errors import HubUnauthenticatedError
from kasbah.kas.hub_client.records import (
    AS_AGENT,
    AccessAsAgent,
    AccessAsConfigured,
    AccessAsJob,
    AccessAsUser,
    JobEnvironment,
    ProxyJob,
    ProxyUser,
    RolesAt,
)
from kasbah.kas.kubernetes_api.access import Access
from kasbah.kit.secrets import Secret
from kasbah.wire.identity import AsAgent, Identity

K = TypeVar("K", ProxyUser, ProxyJob)

MIA_AS_USER = AccessAsUser(
    projects=(RolesAt(id=40, roles=("guest", "reporter", "developer")),),
    groups=(RolesAt(id=5, roles=("maintainer",)),),
)


def mia(access_as: AccessAsAgent | AccessAsUser = AS_AGENT) -> ProxyUser:
    """One person who may use agent 7."""
    return ProxyUser(agent_id=7, config_project_id=31, user_id=4, username="mia", access_as=access_as)


def job_of_mia(
    access_as: AccessAsAgent | AccessAsConfigured | AccessAsJob = AS_AGENT,
    environment: JobEnvironment | None = None,
) -> ProxyJob:
    """A job of hers that may use agent 7, in a project two groups deep."""
    return ProxyJob(
        agent_id=7,
        config_project_id=31,
        job_id=9001,
        pipeline_id=800,
        project_id=40,
        group_ids=(5, 2),
        user_id=4,
        username="mia",
        environment=environment,
        access_as=access_as,
    )


def access_of_mia(identity: Identity = AsAgent(), agent_id: int = 7) -> Access:  # noqa: B008 - it cannot be changed
    """The same person, as a grant knows her."""
    return Access(
        agent_id=agent_id,
        config_project_id=31,
        access_type="personal_access_token",
        user_id=4,
        username="mia",
        identity=identity,
    )


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class People:
    """What a `HubDirectory` asks; a test changes its mind between questions."""

    tokens: dict[str, ProxyUser] = field(default_factory=lambda: {"good": mia()})
    failure: Exception | None = None
    questions: int = 0
    answering: asyncio.Event = field(default_factory=_set)
    """Clear it, and questions wait."""
    sessions: dict[tuple[str, str], ProxyUser] = field(default_factory=lambda: {("cookie", "csrf"): mia()})
    jobs: dict[str, ProxyJob] = field(default_factory=lambda: {"running": job_of_mia()})

    async def authorize_proxy_user(self, agent_id: int, token: Secret) -> ProxyUser:
        await self._answer()
        return _known(self.tokens.get(token.reveal()), agent_id)

    async def authorize_proxy_session(self, agent_id: int, cookie: Secret, csrf_token: Secret) -> ProxyUser:
        await self._answer()
        return _known(self.sessions.get((cookie.reveal(), csrf_token.reveal())), agent_id)

    async def authorize_proxy_job(self, agent_id: int, job_token: Secret) -> ProxyJob:
        await self._answer()
        return _known(self.jobs.get(job_token.reveal()), agent_id)

    async def _answer(self) -> None:
        self.questions += 1
        await self.answering.wait()
        if self.failure is not None:
            raise self.failure


def _known(found: K | None, agent_id: int) -> K:
    if found is None or found.agent_id != agent_id:
        raise HubUnauthenticatedError("the credential is not known")
    return found
