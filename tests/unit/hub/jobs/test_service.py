"""Who makes a job's token, and until when it is good."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kasbah.hub.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RecordNotFoundError,
    UnauthenticatedError,
)
from kasbah.hub.groups.model import Role
from kasbah.hub.identity import User
from kasbah.hub.jobs.model import NewJob
from kasbah.hub.projects.model import NewProtectedBranch, Project
from kasbah.hub.projects.store import projects
from kasbah.kit.secrets import Secret
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio
MAIN, TOPIC = NewJob(ref="refs/heads/main"), NewJob(ref="refs/heads/topic")


async def place(hub: HubServices, level: int) -> tuple[Project, User]:
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    if level:
        await hub.join(project, mia, level)
    return project, mia


async def test_the_token_shows_the_job_its_project_and_its_user(hub: HubServices):
    project, mia = await place(hub, Role.MAINTAINER)
    job, secret = await hub.jobs.create(mia, project, MAIN)
    calling = await hub.jobs.authenticate(secret)
    assert (calling.job, calling.project, calling.user) == (job, project, mia)
    assert (calling.level, calling.protected, job.protected) == (Role.MAINTAINER, True, True)
    assert secret.reveal().startswith("glcbt-")
    assert len(secret.reveal()) == len("glcbt-") + 50


@pytest.mark.parametrize("level", [0, Role.GUEST, Role.PLANNER, Role.REPORTER])
async def test_below_developer_nobody_runs_jobs(hub: HubServices, level):
    project, mia = await place(hub, level)
    with pytest.raises(ForbiddenError, match="mia runs no jobs here without the role developer"):
        await hub.jobs.create(mia, project, TOPIC)


async def test_a_developer_runs_jobs_on_what_is_not_protected(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    job, secret = await hub.jobs.create(mia, project, TOPIC)
    assert not job.protected
    assert not (await hub.jobs.authenticate(secret)).protected
    with pytest.raises(ForbiddenError, match="refs/heads/main is protected"):
        await hub.jobs.create(mia, project, MAIN)


async def test_a_branch_open_to_developers_is_protected_all_the_same(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    owner = await hub.accounts.find_by_username("owner")
    assert owner is not None
    rule = NewProtectedBranch(name="topic*", push_access_level=0, merge_access_level=30)
    await hub.protection.protect(owner, project, rule)
    job, _ = await hub.jobs.create(mia, project, TOPIC)
    assert job.protected


async def test_a_tag_named_like_a_protected_branch_is_not_protected(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    job, _ = await hub.jobs.create(mia, project, NewJob(ref="refs/tags/main"))
    assert not job.protected


async def test_only_administrators_make_tokens_for_others(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    root = await hub.user("root", is_admin=True)
    _, secret = await hub.jobs.create(root, project, TOPIC, mia.id)
    assert (await hub.jobs.authenticate(secret)).user == mia
    with pytest.raises(ForbiddenError, match="the role of mia may not"):
        await hub.jobs.create(root, project, MAIN, mia.id)  # for mia means with mia's role
    with pytest.raises(ForbiddenError, match="Only administrators"):
        await hub.jobs.create(mia, project, TOPIC, root.id)
    with pytest.raises(NotFoundError):
        await hub.jobs.create(root, project, TOPIC, 99)


async def test_what_breaks_a_rule_is_refused(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    with pytest.raises(InvalidError):
        await hub.jobs.create(mia, project, NewJob(ref="topic"))
    with pytest.raises(ForbiddenError):
        await hub.jobs.create(mia, replace(project, archived=True), TOPIC)


async def test_an_archived_project_takes_its_jobs_along(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    _, secret = await hub.jobs.create(mia, project, TOPIC)
    async with hub.database.writing() as connection:
        await connection.execute(projects.update().values(archived=True))
    with pytest.raises(UnauthenticatedError):
        await hub.jobs.authenticate(secret)


@pytest.mark.parametrize("secret", ["", "glcbt-wrong", "x" * 100_000])
async def test_an_unknown_token_is_nobody(hub: HubServices, secret):
    with pytest.raises(UnauthenticatedError):
        await hub.jobs.authenticate(Secret(secret))


async def test_a_token_dies_with_its_time(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    _, secret = await hub.jobs.create(mia, project, replace(TOPIC, lifetime=timedelta(minutes=2)))
    hub.clock.turn(seconds=119)
    await hub.jobs.authenticate(secret)
    hub.clock.turn(seconds=1)
    with pytest.raises(UnauthenticatedError):
        await hub.jobs.authenticate(secret)


@pytest.mark.parametrize("deed", ["finish", "block", "expel", "protect", "delete"])
async def test_a_token_dies_at_once(hub: HubServices, deed):
    project, mia = await place(hub, Role.DEVELOPER)
    owner = await hub.accounts.find_by_username("owner")
    assert owner is not None
    job, secret = await hub.jobs.create(mia, project, TOPIC)
    await hub.jobs.authenticate(secret)
    match deed:
        case "finish":
            await hub.jobs.finish(mia, project, job.id)
        case "block":
            await hub.accounts.set_state(mia.id, "blocked")
        case "expel":
            async with hub.database.writing() as connection:
                await connection.exec_driver_sql("DELETE FROM project_members")
        case "protect":
            await hub.protection.protect(owner, project, NewProtectedBranch(name="*"))
        case "delete":
            await hub.projects.delete(project)
    with pytest.raises(UnauthenticatedError):
        await hub.jobs.authenticate(secret)


async def test_a_branch_is_judged_as_it_is_now(hub: HubServices):
    project, mia = await place(hub, Role.MAINTAINER)
    _, secret = await hub.jobs.create(mia, project, MAIN)
    await hub.protection.unprotect(mia, project, "main")
    assert not (await hub.jobs.authenticate(secret)).protected


async def test_jobs_are_seen_by_developers_and_ended_by_their_user_or_a_maintainer(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    owner, ben, guest = (
        await hub.accounts.find_by_username("owner"),
        await hub.user("ben"),
        await hub.user("gus"),
    )
    assert owner is not None
    await hub.join(project, ben, Role.DEVELOPER)
    await hub.join(project, guest, Role.REPORTER)
    job, _ = await hub.jobs.create(mia, project, TOPIC)
    assert await hub.jobs.list(ben, project, limit=10, offset=0) == ([(job, mia)], 1)
    for call in (hub.jobs.list(guest, project, limit=10, offset=0), hub.jobs.get(guest, project, job.id)):
        with pytest.raises(ForbiddenError):
            await call
    with pytest.raises(ForbiddenError):
        await hub.jobs.finish(ben, project, job.id)
    with pytest.raises(RecordNotFoundError):
        await hub.jobs.finish(ben, project, 99)
    await hub.jobs.finish(owner, project, job.id)
    await hub.jobs.finish(mia, project, job.id)
    found, _ = await hub.jobs.get(mia, project, job.id)
    assert found.status == "finished"


async def test_records_of_jobs_long_gone_are_dropped(hub: HubServices):
    project, mia = await place(hub, Role.DEVELOPER)
    await hub.jobs.create(mia, project, TOPIC)
    hub.clock.turn(days=31)
    job, _ = await hub.jobs.create(mia, project, TOPIC)
    assert await hub.jobs.list(mia, project, limit=10, offset=0) == ([(job, mia)], 1)
