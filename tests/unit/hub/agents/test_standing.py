"""Who may use an agent, and who may hear why not."""

from __future__ import annotations

import pytest

from kasbah.hub.agents.model import Basis, RoleAt
from kasbah.hub.agents.standing import Standing
from kasbah.hub.errors import ForbiddenError, RecordNotFoundError
from kasbah.hub.groups.model import Role
from tests.doubles.agent_records import make_agent
from tests.doubles.git_accounts import make_project, make_user

NOT_READ = "no `user_access` section that names who may use the agent was read"
FILE = ".gitlab/agents/prod/config.yaml of ops/fleet"


def role(level: int) -> RoleAt:
    return RoleAt(entity="group", id=5, level=level, path="ops", entry="user_access.groups[0]", line=9)


def standing(
    *roles: RoleAt, home: int = 0, user_access: str | None = "{}", is_admin: bool = False
) -> Standing:
    return Standing(
        agent=make_agent(user_access=user_access),
        home=make_project(31, "ops/fleet"),
        user=make_user(4, is_admin=is_admin),
        level_at_home=home,
        roles=roles,
    )


def explanation(found: Standing) -> str:
    with pytest.raises(ForbiddenError) as refused:
        found.proxy_user()
    return refused.value.explanation


def test_the_first_entry_that_lets_in_is_the_basis():
    low = RoleAt(entity="project", id=40, level=Role.REPORTER, entry="user_access.projects[0]")
    found = standing(low, role(Role.DEVELOPER)).proxy_user()
    assert found.roles == (role(Role.DEVELOPER),)
    assert found.basis == Basis(
        project_path="ops/fleet",
        file=".gitlab/agents/prod/config.yaml",
        entry="user_access.groups[0]",
        line=9,
    )


def test_an_entry_of_unknown_place_is_no_basis():
    assert standing(RoleAt(entity="group", id=5, level=30)).proxy_user().basis is None


@pytest.mark.parametrize("user_access", [None, "{}", '{"access_as":{}}', '{"access_as":{"king":{}}}'])
@pytest.mark.parametrize("guest", [(), (role(Role.GUEST),), (role(Role.PLANNER),)])
def test_strangers_hear_nothing(user_access, guest):
    assert explanation(standing(*guest, home=Role.GUEST, user_access=user_access)) == ""


@pytest.mark.parametrize(
    ("user_access", "text"),
    [
        (
            None,
            f"{NOT_READ} from {FILE}; the file is read while an agentk of the agent is connected",
        ),
        ('{"access_as":{}}', f"`user_access.access_as` in {FILE} must be either agent or user"),
        ('{"access_as":{"king":{}}}', f"`user_access.access_as` in {FILE} must be either agent or user"),
        ("{}", f"you are a member of no project or group under `user_access` in {FILE}"),
    ],
)
@pytest.mark.parametrize("known", [{"home": Role.REPORTER}, {"is_admin": True}])
def test_those_who_know_the_agent_hear_why(user_access, text, known):
    assert explanation(standing(user_access=user_access, **known)) == text


def test_a_role_too_low_is_named_with_its_entry():
    assert explanation(standing(role(Role.REPORTER))) == (
        f"the role developer is needed: you are reporter in ops (user_access.groups[0] in line 9 of {FILE})"
    )


def test_an_absent_agent_is_explained_to_nobody():
    absent = Standing(
        agent=None, home=None, user=make_user(1, is_admin=True), level_at_home=50, roles=(role(50),)
    )
    assert (absent.may_know, absent.explained("x")) == (False, "")
    with pytest.raises(RecordNotFoundError):
        absent.proxy_user()
