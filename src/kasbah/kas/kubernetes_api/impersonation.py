"""As whom a person acts in the cluster: GitLab's strings, byte for byte."""

from __future__ import annotations

from kasbah.kas.hub_client.records import AccessAsAgent, ProxyUser, RolesAt
from kasbah.wire.identity import AsAgent, AsUser, Identity

_EXTRA_PREFIX = "agent.gitlab.com/"


def identity_of(user: ProxyUser) -> Identity:
    """The identity for a person who showed a personal access token.

    Raises:
        InvalidIdentityError: a name of theirs cannot be put into a header.
    """
    if isinstance(user.access_as, AccessAsAgent):
        return AsAgent()
    groups = ["gitlab:user"]
    groups += _role_groups("gitlab:project_role", user.access_as.projects)
    groups += _role_groups("gitlab:group_role", user.access_as.groups)
    extra = {
        "id": str(user.agent_id),
        "username": user.username,
        "access_type": "personal_access_token",
        "config_project_id": str(user.config_project_id),
    }
    return AsUser(
        username=f"gitlab:user:{user.username}",
        groups=tuple(groups),
        extra=tuple((_EXTRA_PREFIX + key, (value,)) for key, value in extra.items()),
    )


def _role_groups(prefix: str, places: tuple[RolesAt, ...]) -> list[str]:
    return [f"{prefix}:{place.id}:{role}" for place in places for role in place.roles]
