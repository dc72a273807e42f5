"""Protected branches: from the start, and by whom they are changed."""

from __future__ import annotations

import pytest

from kasbah.hub.errors import ForbiddenError, RecordNotFoundError, TakenError, UnprocessableError
from kasbah.hub.groups.model import Role
from kasbah.hub.projects import protection
from kasbah.hub.projects.model import NewProtectedBranch
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


async def test_the_default_branch_is_protected_from_the_start(hub: HubServices):
    mia = await hub.user("mia")
    rules = await hub.protection.list(mia, await hub.project(mia, "fleet"))
    assert [(rule.name, rule.push_access_level, rule.merge_access_level) for rule in rules] == [
        ("main", Role.MAINTAINER, Role.MAINTAINER)
    ]


async def test_a_first_push_to_another_branch_protects_that_one(hub: HubServices):
    mia = await hub.user("mia")
    project = await hub.project(mia, "fleet")
    for _ in range(2):
        await hub.projects.set_default_branch(project.id, "trunk")
    assert [rule.name for rule in await hub.protection.list(mia, project)] == ["main", "trunk"]


async def test_maintainers_change_the_rules_and_developers_see_them(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    await hub.join(project, mia, Role.DEVELOPER)
    made = await hub.protection.protect(owner, project, NewProtectedBranch(name="release/*"))
    assert await hub.protection.get(mia, project, "release/*") == made
    for refused in (
        hub.protection.protect(mia, project, NewProtectedBranch(name="x")),
        hub.protection.unprotect(mia, project, "main"),
    ):
        with pytest.raises(ForbiddenError):
            await refused
    await hub.protection.unprotect(owner, project, "release/*")
    with pytest.raises(RecordNotFoundError):
        await hub.protection.unprotect(owner, project, "release/*")
    with pytest.raises(RecordNotFoundError):
        await hub.protection.get(mia, project, "release/*")


async def test_a_reporter_sees_no_rules(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    await hub.join(project, mia, Role.REPORTER)
    with pytest.raises(ForbiddenError):
        await hub.protection.list(mia, project)


async def test_a_name_is_protected_once_and_must_be_a_branchs(hub: HubServices, monkeypatch):
    mia = await hub.user("mia")
    project = await hub.project(mia, "fleet")
    with pytest.raises(TakenError, match="Protected branch 'main' already exists"):
        await hub.protection.protect(mia, project, NewProtectedBranch(name="main"))
    with pytest.raises(UnprocessableError, match="can't be blank"):
        await hub.protection.protect(mia, project, NewProtectedBranch(name=" "))
    monkeypatch.setattr(protection, "MOST_PROTECTED_BRANCHES", 1)
    with pytest.raises(UnprocessableError, match="at most 1"):
        await hub.protection.protect(mia, project, NewProtectedBranch(name="x"))
