"""The walk of a push with the real hub: git, the database, the repository, and what kas then reads."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from kasbah.hub.app import HubApp, HubSettings, create_app
from kasbah.hub.kas_client import GitPushEvent
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import FileTooLargeError, HubNotFoundError, NotARegularFileError
from kasbah.kit.secrets import Secret
from tests.doubles.git_accounts import FakeKasClient
from tests.integration.repositories.conftest import serving_application

KAS_SECRET = b"k" * 32


@dataclass
class Whole:
    """A running hub, its administrator's REST client, and kas' client."""

    port: int
    rest: httpx2.AsyncClient
    kas: HubClient
    told: FakeKasClient
    token: str

    async def make_project(self, name: str, visibility: str = "private") -> int:
        answer = await self.rest.post("/api/v4/projects", json={"name": name, "visibility": visibility})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def url(self, path: str) -> str:
        return f"http://root:{self.token}@127.0.0.1:{self.port}/{path}"


@contextlib.asynccontextmanager
async def whole_hub(data_dir) -> AsyncIterator[Whole]:
    told = FakeKasClient()
    settings = HubSettings(
        data_dir=data_dir,
        kas_secret=Secret(base64.b64encode(KAS_SECRET).decode()),
        external_url="http://127.0.0.1",
        kas_external_url="ws://127.0.0.1/-/kubernetes-agent/",
        k8s_proxy_external_url="https://127.0.0.1/-/kubernetes-agent/k8s-proxy/",
        version="18.6.0",
    )
    hub = create_app(settings, told)
    async with running(hub), serving_application(hub.asgi) as port:
        token = (data_dir / "root-token").read_text().strip()
        transport = httpx2.ASGITransport(hub.asgi)
        headers = {"PRIVATE-TOKEN": token}
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://hub", headers=headers) as rest,
            httpx2.AsyncClient(transport=transport, base_url="http://hub") as internal,
        ):
            yield Whole(port, rest, HubClient(internal, KAS_SECRET), told, token)


@contextlib.asynccontextmanager
async def running(hub: HubApp) -> AsyncIterator[None]:
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(hub.run(ready.set))
        await ready.wait()
        try:
            yield
        finally:
            task.cancel()


@pytest.mark.asyncio
async def test_a_pushed_configuration_is_what_kas_reads(tmp_path, git):
    async with whole_hub(tmp_path) as hub:
        project_id = await hub.make_project("app")
        assert (await hub.kas.repository_head(project_id)).commit_id is None
        work = await git.make_work()
        file = ".gitlab/agents/prod/config.yaml"
        commit = await git.commit(work, file, b"user_access: {}\n")
        await git("push", "-q", hub.url("root/app.git"), "main", cwd=work)
        assert hub.told.events == [GitPushEvent(project_id=project_id, full_path="root/app")]
        head = await hub.kas.repository_head(project_id)
        assert (head.default_branch, head.commit_id) == ("main", commit)
        read = await hub.kas.repository_file(project_id, commit, file, max_bytes=1000)
        assert read == b"user_access: {}\n"


@pytest.mark.asyncio
async def test_kas_hears_of_each_refusal_by_its_name(tmp_path, git):
    async with whole_hub(tmp_path) as hub:
        project_id = await hub.make_project("app")
        work = await git.make_work()
        (work / "link").symlink_to("README.md")
        commit = await git.commit(work, "big", b"x" * 2000)
        await git("push", "-q", hub.url("root/app.git"), "main", cwd=work)
        assert await hub.kas.repository_file(project_id, commit, "absent", max_bytes=10) is None
        with pytest.raises(FileTooLargeError):
            await hub.kas.repository_file(project_id, commit, "big", max_bytes=1999)
        with pytest.raises(NotARegularFileError):
            await hub.kas.repository_file(project_id, commit, "link", max_bytes=1000)
        with pytest.raises(HubNotFoundError):
            await hub.kas.repository_head(project_id + 1)


@pytest.mark.asyncio
async def test_what_kas_reads_is_for_kas_alone(tmp_path):
    async with whole_hub(tmp_path) as hub:
        project_id = await hub.make_project("app")
        answer = await hub.rest.get(
            "/api/v4/internal/kubernetes/repository_head", params={"project_id": project_id}
        )
    assert (answer.status_code, answer.json()) == (401, {"message": "KAS JWT authentication invalid"})


@pytest.mark.asyncio
async def test_the_first_push_renames_the_projects_default_branch(tmp_path, git):
    async with whole_hub(tmp_path) as hub:
        project_id = await hub.make_project("app")
        work = await git.make_work(branch="trunk")
        await git("push", "-q", hub.url("root/app.git"), "trunk", cwd=work)
        project = (await hub.rest.get(f"/api/v4/projects/{project_id}")).json()
    assert project["default_branch"] == "trunk"


@pytest.mark.asyncio
async def test_a_deleted_project_takes_its_repository_along(tmp_path, git):
    async with whole_hub(tmp_path) as hub:
        project_id = await hub.make_project("app")
        await hub.rest.delete(f"/api/v4/projects/{project_id}")
        code, output = await git.try_run("ls-remote", hub.url("root/app.git"))
        assert code == 128
        assert "could not be found" in output
        assert list((tmp_path / "repositories").glob("*/*.git")) == []


@pytest.mark.asyncio
async def test_what_was_pushed_is_there_after_a_restart(tmp_path, git):
    async with whole_hub(tmp_path) as hub:
        await hub.make_project("app")
        work = await git.make_work()
        await git("push", "-q", hub.url("root/app.git"), "main", cwd=work)
    async with whole_hub(tmp_path) as hub:
        await git("clone", "-q", hub.url("root/app.git"), "copy")
    assert (git.home / "copy/README.md").exists()
