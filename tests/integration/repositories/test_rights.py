"""Who may pull and push, as git shows it to its user."""

from __future__ import annotations

import pytest

from kasbah.gitrepo.settings import GitSettings
from tests.doubles.git_accounts import make_protected, make_user
from tests.integration.repositories.conftest import PROJECT, http_get

OTHER = 2


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["group/sub/app.git", "group/sub/absent.git"])
async def test_without_credentials_private_and_absent_look_alike(host, path):
    async with host() as hosting:
        answer = await http_get(hosting, f"/{path}/info/refs?service=git-upload-pack")
    assert answer.startswith("HTTP/1.1 401 ")
    assert 'www-authenticate: Basic realm="GitLab"' in answer
    assert answer.rstrip().endswith("improperly scoped.")


@pytest.mark.asyncio
async def test_a_wrong_token_is_refused_even_for_a_public_project(host):
    async with host() as hosting:
        hosting.projects.change(PROJECT, "public")
        target = "/group/sub/app.git/info/refs?service=git-upload-pack"
        answer = await http_get(hosting, target, authorization="Basic dTpnbHBhdC13cm9uZw==")
    assert answer.startswith("HTTP/1.1 401 ")


@pytest.mark.asyncio
async def test_everybody_reads_a_public_project_and_nobody_unknown_writes(host, git):
    async with host() as hosting:
        hosting.projects.change(PROJECT, "public")
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        await git("clone", "-q", hosting.url(None), "copy")
        code, output = await git.try_run("push", hosting.url(None), "main:other", cwd=work)
    assert code == 128
    assert "could not read Username" in output


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("role", "pull", "push"),
    [
        (0, "could not be found or you don't have permission", "could not be found"),
        (10, "not allowed to download code", "not allowed to push code"),
        (20, "", "not allowed to push code"),
        (30, "", ""),
    ],
)
async def test_roles_decide_on_a_private_project(host, git, role, pull, push):
    async with host() as hosting:
        hosting.accounts.grant("glpat-other", make_user(OTHER), "api")
        hosting.projects.roles[OTHER, PROJECT] = role
        work = await git.make_work()
        code, output = await git.try_run("ls-remote", hosting.url("glpat-other"))
        assert (code == 0, pull in output) == (not pull, True)
        code, output = await git.try_run("push", hosting.url("glpat-other"), "main", cwd=work)
        assert (code == 0, push in output) == (not push, True)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scope", "pull", "push"),
    [
        ("read_repository", "", "not allowed to upload code"),
        ("write_repository", "", ""),
        ("read_api", "Authentication failed", "Authentication failed"),
        ("k8s_proxy", "Authentication failed", "Authentication failed"),
    ],
)
async def test_scopes_decide_whatever_the_role(host, git, scope, pull, push):
    async with host() as hosting:
        hosting.accounts.grant("glpat-scoped", make_user(), scope)
        work = await git.make_work()
        code, output = await git.try_run("ls-remote", hosting.url("glpat-scoped"))
        assert (code == 0, pull in output) == (not pull, True)
        code, output = await git.try_run("push", hosting.url("glpat-scoped"), "main", cwd=work)
        assert (code == 0, push in output) == (not push, True)


@pytest.mark.asyncio
async def test_an_archived_project_takes_no_push(host, git):
    async with host() as hosting:
        hosting.projects.change(PROJECT, "private", archived=True)
        work = await git.make_work()
        code, output = await git.try_run("push", hosting.url(), "main", cwd=work)
    assert code == 128
    assert "not allowed to push code" in output


@pytest.mark.asyncio
async def test_when_all_places_are_taken_the_next_is_told_to_come_back(host):
    settings = GitSettings(max_processes=1, queue_s=0.05, idle_s=5)
    async with host(settings) as hosting, hosting.half_sent_push():
        target = "/group/sub/app.git/info/refs?service=git-upload-pack"
        answer = await http_get(hosting, target, owner=True)
    assert answer.startswith("HTTP/1.1 503 ")
    assert "retry-after: 10" in answer


@pytest.mark.asyncio
@pytest.mark.parametrize(("role", "told"), [(30, "push code to protected branches"), (40, "")])
async def test_a_protected_branch_is_pushed_to_by_maintainers(host, git, role, told):
    async with host() as hosting:
        hosting.accounts.grant("glpat-other", make_user(OTHER), "api")
        hosting.projects.roles[OTHER, PROJECT] = role
        hosting.projects.protected.append(make_protected("main"))
        work = await git.make_work()
        code, output = await git.try_run("push", hosting.url("glpat-other"), "main", "main:topic", cwd=work)
        assert (code == 0, told in output) == (not told, True)
        code, _ = await git.try_run("push", hosting.url("glpat-other"), "main:topic", cwd=work)
        assert code == 0
        code, output = await git.try_run("push", hosting.url("glpat-other"), ":main", cwd=work)
        assert (code, "delete protected branches" in output) == (1, role == 40)


@pytest.mark.asyncio
@pytest.mark.parametrize(("role", "branch"), [(30, "main"), (40, "topic")])
async def test_the_first_push_of_a_developer_chooses_no_default_branch(host, git, role, branch):
    async with host() as hosting:
        hosting.accounts.grant("glpat-other", make_user(OTHER), "api")
        hosting.projects.roles[OTHER, PROJECT] = role
        hosting.projects.protected.append(make_protected("main"))
        work = await git.make_work()
        await git("push", "-q", hosting.url("glpat-other"), "main:topic", cwd=work)
        head = await hosting.store.head(PROJECT)
    assert (head.default_branch, head.commit_id is None) == (branch, role == 30)
