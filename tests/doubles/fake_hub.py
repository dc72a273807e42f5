"""The internal API of a Git side in memory, as an HTTP transport: what kas asks, answered from a few dictionaries.

Follows GitLab's internal API and our two additions. `answer_with` makes the next answers of a route
whatever a test wants, so broken peers are one line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec

SECRET = b"0123456789abcdef0123456789abcdef"
COMMIT = "a" * 40
_PREFIX = "/api/v4/internal/kubernetes/"


def agent_info(**changes: Any) -> dict[str, Any]:
    """GitLab's documented answer about an agent, changed."""
    answer: dict[str, Any] = {
        "project_id": 31,
        "agent_id": 7,
        "agent_name": "prod-eu",
        "gitaly_info": {"address": "unix:/gitaly.socket", "token": "t", "features": {"x": "true"}},
        "gitaly_repository": {
            "storage_name": "default",
            "relative_path": "@hashed/7a/61/7a61.git",
            "git_object_directory": "",
            "git_alternate_object_directories": [],
            "gl_repository": "project-31",
            "gl_project_path": "ops/fleet",
        },
        "default_branch": "main",
    }
    return answer | changes


def proxy_user(**changes: Any) -> dict[str, Any]:
    """GitLab's documented answer about a person, changed."""
    answer: dict[str, Any] = {
        "agent": {"id": 7, "config_project": {"id": 31}},
        "user": {"id": 4, "username": "mia"},
        "access_as": {"agent": {}},
    }
    return answer | changes


@dataclass
class FakeHub(httpx2.AsyncBaseTransport):
    """One project with one agent and, once `commit_id` is set, a repository."""

    token: str = "glagent-good"
    commit_id: str | None = COMMIT
    files: dict[str, bytes] = field(default_factory=dict)
    configurations: list[dict[str, Any]] = field(default_factory=list)
    requests: list[httpx2.Request] = field(default_factory=list)
    """Everything that was asked, in order."""
    _forced: dict[str, list[httpx2.Response | Exception]] = field(default_factory=dict)

    def client(self, base_url: str = "http://hub") -> httpx2.AsyncClient:
        """An HTTP client that reaches this hub only."""
        return httpx2.AsyncClient(transport=self, base_url=base_url)

    def answer_with(self, route: str, *answers: httpx2.Response | Exception) -> None:
        """Make these the next answers of the route."""
        self._forced.setdefault(route, []).extend(answers)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as the documents say."""
        self.requests.append(request)
        route = request.url.path.partition(_PREFIX)[2]
        if forced := self._forced.get(route):
            answer = forced.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return await self._answer(route, request)

    async def _answer(self, route: str, request: httpx2.Request) -> httpx2.Response:
        match route:
            case "agent_info" if request.headers.get("authorization") == f"Bearer {self.token}":
                return json_answer(200, agent_info())
            case "agent_info":
                return json_answer(401, {"message": "401 Unauthorized"})
            case "agent_configuration":
                self.configurations.append(msgspec.json.decode(await request.aread()))
                return httpx2.Response(204)
            case "authorize_proxy_user":
                return json_answer(200, proxy_user())
            case "usage_metrics":
                return httpx2.Response(204)
            case "repository_head":
                return json_answer(200, {"default_branch": "main", "commit_id": self.commit_id})
            case "repository_file":
                return self._file(request)
        return json_answer(404, {"message": "404 Not found"})

    def _file(self, request: httpx2.Request) -> httpx2.Response:
        content = self.files.get(request.url.params["path"])
        if content is None:
            return json_answer(404, {"message": "404 File Not Found"})
        if len(content) > int(request.url.params["max_bytes"]):
            return json_answer(413, {"message": "413 Too large"})
        return httpx2.Response(200, content=content, headers={"content-type": "application/octet-stream"})


def json_answer(status: int, document: object) -> httpx2.Response:
    """An answer with a JSON document."""
    body = msgspec.json.encode(document)
    return httpx2.Response(status, content=body, headers={"content-type": "application/json"})
