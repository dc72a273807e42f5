"""Asks the Git side who is behind a credential; one way for each kind of credential.

A refusal comes as `AccessDeniedError` with the status and the words for the client, which are GitLab's. Where the Git
side tells a reason that the person may know, it follows them; without one, all causes sound alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NoReturn, Protocol

from kasbah.errors import PeerError
from kasbah.kas.hub_client import allowed_agents
from kasbah.kas.hub_client.errors import (
    AgentNotAllowedError,
    HubContractError,
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
)
from kasbah.kas.hub_client.records import ProxyJob, ProxyUser
from kasbah.kas.kubernetes_api import impersonation
from kasbah.kas.kubernetes_api.access import Access, PersonAccessType
from kasbah.kit.secrets import Secret
from kasbah.wire.credential import Credential, CredentialKind
from kasbah.wire.identity import InvalidIdentityError

_JOB_REFUSALS: Final[Mapping[type[HubError], tuple[int, str]]] = {
    HubUnauthenticatedError: (401, "Unauthorized: CI job token"),
    HubForbiddenError: (403, "Forbidden: CI job token"),
    HubNotFoundError: (404, "Not found: agents for CI job token"),
}
UNDECIDED: Final[Mapping[CredentialKind, str]] = {
    "ci": "Failed to get allowed agents for CI job token",
    "pat": "Failed to authorize user session",
    "session": "Failed to authorize user session",
}
"""What a client hears when nobody could say."""


class AccessDeniedError(PeerError):
    """The Git side does not allow this credential the agent, or knows neither; the message is for the client."""

    def __init__(self, message: str, *, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


class UndecidedError(PeerError):
    """Nobody could say whether this is allowed, so it is not.

    Attributes:
        text: for the client.
    """

    def __init__(
        self, message: str = "", *, text: str = UNDECIDED["session"], retryable: bool = False
    ) -> None:
        super().__init__(message, retryable=retryable)
        self.text = text


class Directory(Protocol):
    """Knows who may use which agent."""

    async def look_up(self, credential: Credential) -> Access:
        """Who shows this credential, and as whom they may act.

        Raises:
            AccessDeniedError: it is not allowed.
            UndecidedError, PeerError: nobody could say, or not in words that a header can hold.
        """


class GitSide(Protocol):
    """The part of the Git side that is asked; `HubClient` is one."""

    async def authorize_proxy_user(self, agent_id: int, token: Secret) -> ProxyUser: ...

    async def authorize_proxy_session(
        self, agent_id: int, cookie: Secret, csrf_token: Secret
    ) -> ProxyUser: ...

    async def authorize_proxy_job(self, agent_id: int, job_token: Secret) -> ProxyJob: ...


class HubDirectory:
    """The Git side's own answers."""

    def __init__(self, hub: GitSide) -> None:
        self._hub = hub

    async def look_up(self, credential: Credential) -> Access:
        if credential.kind == "ci":
            return await self._job(credential)
        return await self._person(credential)

    async def _job(self, credential: Credential) -> Access:
        try:
            job = await self._hub.authorize_proxy_job(credential.agent_id, Secret(credential.token))
        except AgentNotAllowedError as error:
            refusal = _with_reason("Forbidden: agentId is not allowed", error)
            raise AccessDeniedError(refusal, status=403) from error
        except HubError as error:
            _raise_job_refusal(error)
        with _told_in_gitlabs_words():
            identity = impersonation.identity_of_job(job)
        return Access(
            agent_id=job.agent_id,
            config_project_id=job.config_project_id,
            access_type="ci_job",
            user_id=job.user_id,
            username=job.username,
            job_id=job.job_id,
            identity=identity,
            basis=job.basis,
        )

    async def _person(self, credential: Credential) -> Access:
        access_type: PersonAccessType = (
            "session_cookie" if credential.kind == "session" else "personal_access_token"
        )
        try:
            user = await self._user(credential)
        except (HubUnauthenticatedError, HubForbiddenError, HubNotFoundError) as error:
            raise AccessDeniedError(_with_reason("Unauthorized", error)) from error
        with _told_in_gitlabs_words():
            identity = impersonation.identity_of_person(user, access_type)
        return Access(
            agent_id=user.agent_id,
            config_project_id=user.config_project_id,
            access_type=access_type,
            user_id=user.user_id,
            username=user.username,
            identity=identity,
            basis=user.basis,
        )

    async def _user(self, credential: Credential) -> ProxyUser:
        agent_id, token = credential.agent_id, Secret(credential.token)
        if credential.kind == "session":
            return await self._hub.authorize_proxy_session(agent_id, token, Secret(credential.csrf_token))
        return await self._hub.authorize_proxy_user(agent_id, token)


@contextmanager
def _told_in_gitlabs_words() -> Iterator[None]:
    """A name that cannot be put into a header is nobody's, and not the agent's."""
    try:
        yield
    except InvalidIdentityError as error:
        raise UndecidedError(str(error), text="Failed to construct impersonation config") from error


def _with_reason(text: str, error: HubError) -> str:
    return f"{text}: {error.reason}" if error.reason else text


def _raise_job_refusal(error: HubError) -> NoReturn:
    """Tell a refusal, or that there was no decision, as GitLab does, with the status the Git side answered."""
    status, text = _JOB_REFUSALS.get(type(error), (0, UNDECIDED["ci"]))
    if error.reason:
        cause = error.reason
    elif error.status or status:
        cause = f"HTTP status code: {error.status or status} for path {allowed_agents.PATH}"
    else:
        cause = str(error) if isinstance(error, HubContractError) else "the Git side does not answer"
    if status:
        raise AccessDeniedError(f"{text}: {cause}", status=status) from error
    raise UndecidedError(str(error), text=f"{text}: {cause}", retryable=error.retryable) from error
