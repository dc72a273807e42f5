"""Who may use which agent, in memory: what the Git side answers about personal access tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from kasbah.kas.hub_client.errors import HubUnauthenticatedError
from kasbah.kas.hub_client.records import AS_AGENT, AccessAsAgent, AccessAsUser, ProxyUser, RolesAt
from kasbah.kas.kubernetes_api.access import Access
from kasbah.kit.secrets import Secret
from kasbah.wire.identity import AsAgent, Identity

MIA_AS_USER = AccessAsUser(
    projects=(RolesAt(id=40, roles=("guest", "reporter", "developer")),),
    groups=(RolesAt(id=5, roles=("maintainer",)),),
)


def mia(access_as: AccessAsAgent | AccessAsUser = AS_AGENT) -> ProxyUser:
    """One person who may use agent 7."""
    return ProxyUser(agent_id=7, config_project_id=31, user_id=4, username="mia", access_as=access_as)


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

    async def authorize_proxy_user(self, agent_id: int, token: Secret) -> ProxyUser:
        self.questions += 1
        await self.answering.wait()
        if self.failure is not None:
            raise self.failure
        user = self.tokens.get(token.reveal())
        if user is None or user.agent_id != agent_id:
            raise HubUnauthenticatedError("the token is not known")
        return user
