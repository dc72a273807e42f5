"""Asks the Git side who is behind a credential; one way for each kind of credential.

A refusal comes as `AccessDeniedError` with the status and the words for the client, which are GitLab's.
"""

from __future__ import annotations

from typing import Final, Protocol

from kasbah.errors import PeerError
from kasbah.kas.hub_client.errors import HubForbiddenError, HubNotFoundError, HubUnauthenticatedError
from kasbah.kas.hub_client.records import ProxyUser
from kasbah.kas.kubernetes_api.access import Access
from kasbah.kas.kubernetes_api.impersonation import identity_of
from kasbah.kit.secrets import Secret
from kasbah.wire.credential import Credential

_UNAUTHORIZED: Final = "Unauthorized"


class AccessDeniedError(PeerError):
    """The Git side does not allow this credential the agent, or knows neither; the message is for the client."""

    def __init__(self, message: str, *, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


class Directory(Protocol):
    """Knows who may use which agent."""

    async def look_up(self, credential: Credential) -> Access:
        """Who shows this credential, and as whom they may act.

        Raises:
            AccessDeniedError: it is not allowed.
            PeerError: nobody could say.
            InvalidIdentityError: a name of theirs cannot be put into a header.
        """


class ProxyUsers(Protocol):
    """The part of the Git side that is asked; `HubClient` is one."""

    async def authorize_proxy_user(self, agent_id: int, token: Secret) -> ProxyUser: ...


class HubDirectory:
    """The Git side's own answers."""

    def __init__(self, hub: ProxyUsers) -> None:
        self._hub = hub

    async def look_up(self, credential: Credential) -> Access:
        if credential.kind != "pat":
            raise AccessDeniedError(_UNAUTHORIZED)
        try:
            user = await self._hub.authorize_proxy_user(credential.agent_id, Secret(credential.token))
        except (HubUnauthenticatedError, HubForbiddenError, HubNotFoundError) as error:
            raise AccessDeniedError(_UNAUTHORIZED) from error
        return Access(
            agent_id=user.agent_id,
            config_project_id=user.config_project_id,
            access_type="personal_access_token",
            user_id=user.user_id,
            username=user.username,
            identity=identity_of(user),
        )
