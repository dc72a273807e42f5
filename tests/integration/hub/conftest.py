"""A whole hub behind httpx2, as a client of GitLab's API sees it."""

from __future__ import annotations

import asyncio
import base64
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import OctKey

from kasbah.hub.app import HubApp, HubSettings, create_app
from kasbah.hub.database import Database, sqlite_url
from kasbah.hub.migrations import migrate
from kasbah.kit.secrets import Secret
from tests.doubles.git_accounts import FakeKasClient
from tests.doubles.postgres_server import given_or_own

URL = "https://hub.example"
KAS_KEY = secrets.token_bytes(32)


def settings(data_dir: Path, **changes: Any) -> HubSettings:
    values = {
        "data_dir": data_dir,
        "kas_secret": Secret(base64.b64encode(KAS_KEY).decode()),
        "external_url": URL,
        "kas_external_url": "wss://hub.example/-/kubernetes-agent/",
        "k8s_proxy_external_url": "https://hub.example/-/kubernetes-agent/k8s-proxy/",
        "version": "18.6.1",
    }
    return HubSettings(**{**values, **changes})


def kas_jwt(**changes: Any) -> str:
    """What kas sends; a change of None leaves the claim out."""
    now = int(time.time())
    claims = {"iss": "gitlab-kas", "aud": "gitlab", "iat": now, "nbf": now - 5, "exp": now + 5, **changes}
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "HS256", "typ": "JWT"}, present, OctKey.import_key(KAS_KEY))


@dataclass
class World:
    """A running hub, its administrator, and short ways to fill it over its own API."""

    app: HubApp
    root_token: str
    people: dict[str, int] = field(default_factory=dict)

    def client(self, token: str | None = None, **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(self.app.asgi, raise_app_exceptions=False)
        given = {"PRIVATE-TOKEN": token, **headers} if token else headers
        return httpx2.AsyncClient(transport=transport, base_url=f"{URL}/api/v4", headers=given)

    @property
    def root(self) -> httpx2.AsyncClient:
        return self.client(self.root_token)

    @property
    def kas(self) -> httpx2.AsyncClient:
        return self.client(**{"Gitlab-Kas-Api-Request": kas_jwt()})

    def kas_for(self, agent_token: str) -> httpx2.AsyncClient:
        return self.client(**{"Gitlab-Kas-Api-Request": kas_jwt(), "Authorization": f"Bearer {agent_token}"})

    async def person(self, username: str, *scopes: str) -> str:
        """A token of a new person."""
        body = {"username": username, "name": username.title(), "email": f"{username}@example.com"}
        self.people[username] = (await created(self.root, "/users", body))["id"]
        return await self.token_of(username, *scopes)

    async def token_of(self, username: str, *scopes: str, **more: str) -> str:
        path = f"/users/{self.people[username]}/personal_access_tokens"
        body = {"name": "test", "scopes": list(scopes or ("api",)), **more}
        return (await created(self.root, path, body))["token"]

    async def group(self, path: str, **more: Any) -> int:
        return (await created(self.root, "/groups", {"name": path.title(), "path": path, **more}))["id"]

    async def project(self, path: str, **more: Any) -> int:
        return (await created(self.root, "/projects", {"name": path, **more}))["id"]

    async def member(self, place: str, username: str, level: int) -> None:
        await created(
            self.root, f"{place}/members", {"user_id": self.people[username], "access_level": level}
        )

    async def agent(self, project_id: int, name: str = "prod") -> int:
        return (await created(self.root, f"/projects/{project_id}/cluster_agents", {"name": name}))["id"]

    async def agent_token(self, project_id: int, agent_id: int) -> dict[str, Any]:
        path = f"/projects/{project_id}/cluster_agents/{agent_id}/tokens"
        return await created(self.root, path, {"name": "t"})

    async def configure(self, agent_id: int, configuration: dict[str, Any]) -> None:
        body = {"agent_id": agent_id, "agent_config": configuration}
        answer = await self.kas.post("/internal/kubernetes/agent_configuration", json=body)
        assert answer.status_code == 204, answer.text


async def created(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


@asynccontextmanager
async def running(app: HubApp, data_dir: Path) -> AsyncIterator[World]:
    """The hub's life, from ready to cancelled."""
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(app.run(ready.set))
        await ready.wait()
        yield World(app, (data_dir / "root-token").read_text().strip())
        task.cancel()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    yield from given_or_own()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the newest revision, made once and copied for each test."""
    path = tmp_path_factory.mktemp("migrated") / "kasbah.db"

    async def make() -> None:
        database = Database(sqlite_url(path))
        await migrate(database)
        await database.close()

    asyncio.run(make())
    return path


@pytest.fixture
def data_dir(tmp_path: Path, migrated: Path) -> Path:
    shutil.copy(migrated, tmp_path / "kasbah.db")
    return tmp_path


@pytest_asyncio.fixture
async def world(data_dir: Path) -> AsyncIterator[World]:
    async with running(create_app(settings(data_dir), FakeKasClient()), data_dir) as world:
        yield world
