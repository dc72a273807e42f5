"""`kasbah member …`: who may do what in a project or a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from kasbah.cli.commands import noun
from kasbah.cli.errors import UsageError
from kasbah.cli.lookup import find_group, find_project, find_user
from kasbah.cli.parameters import Here, Output, Yes
from kasbah.cli.resources import Member
from kasbah.cli.terminal import Column, text_of

if TYPE_CHECKING:
    from kasbah.cli.api_client import ApiClient

Role = Literal["guest", "reporter", "developer", "maintainer", "owner"]
ACCESS_LEVELS: Final[dict[Role, int]] = {
    "guest": 10,
    "reporter": 20,
    "developer": 30,
    "maintainer": 40,
    "owner": 50,
}
"""GitLab's figures. Agents can be used from developer on, and made from maintainer on."""

InProject = Annotated[
    str, Parameter(name=["--project", "-p"], help="The project: its path (ops/fleet) or its id.")
]
InGroup = Annotated[str, Parameter(name=["--group", "-g"], help="The group instead: its path or its id.")]

_ROLES = {level: role for role, level in ACCESS_LEVELS.items()}
_COLUMNS = [
    Column(title="ID", render=text_of("id")),
    Column(title="USERNAME", render=text_of("username")),
    Column(title="ROLE", render=lambda member: _ROLES.get(_level_of(member), _level_of(member))),
    Column(title="EXPIRES", render=text_of("expires_at")),
]


def _level_of(member: object) -> int:
    return int(member["access_level"])  # type: ignore[index] # checked when it came


def add(
    username: str,
    /,
    *,
    project: InProject = "",
    group: InGroup = "",
    role: Role = "developer",
    output: Output = "table",
    here: Here,
) -> None:
    """Make somebody a member of a project or a group.

    Args:
        username: Their user name.
        role: Each holds the rights of those before it.
    """
    with here.connect() as api:
        body = {"user_id": find_user(api, username)["id"], "access_level": ACCESS_LEVELS[role]}
        member = api.post(_members_path(api, project, group), Member, body)
    here.show(member, output, _COLUMNS, name="username")


def list_(*, project: InProject = "", group: InGroup = "", output: Output = "table", here: Here) -> None:
    """List the direct members of a project or a group."""
    with here.connect() as api:
        members = list(api.iterate(_members_path(api, project, group), Member))
    here.show(members, output, _COLUMNS, name="username")


def remove(
    username: str, /, *, project: InProject = "", group: InGroup = "", yes: Yes = False, here: Here
) -> None:
    """Take somebody's membership away: their kubectl is cut within ten seconds.

    Args:
        username: Their user name.
    """
    with here.connect() as api:
        place = _members_path(api, project, group)
        user = find_user(api, username)
        here.confirm(f"take {username}'s membership of {project or group} away", yes=yes)
        api.delete(f"{place}/{user['id']}")
    here.hint(f"{username} is no longer a member of {project or group}.")


def _members_path(api: ApiClient, project: str, group: str) -> str:
    if bool(project) == bool(group):
        raise UsageError("name a project or a group: --project ops/fleet or --group ops")
    if project:
        return f"/projects/{find_project(api, project)['id']}/members"
    return f"/groups/{find_group(api, group)['id']}/members"


app = noun.build("member", add, list_, remove)
