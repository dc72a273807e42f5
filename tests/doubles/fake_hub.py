"""The internal API of a Git side in memory, as an HTTP transport: what kas asks, answered from a few dictionaries.

Follows GitLab's internal API and our four additions; tests/integration/hub/test_internal_contract.py asks it and the
real hub the same. `answer_with` makes the next answers of a route whatever a test wants, so broken peers are one line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec

SECRET = b"0123456789abcdef0123456789abcdef"
COMMIT = "a" * 40
_PREFIX = "/api/v4/internal/kubernetes/"
_JOB = "/api/v4/job/"
_OF_AGENTS = ("agent_info", "project_info", "verify_project_access", "modules/")
_NOWHERE: dict[str, Any] = {"error": "404 Not Found"}


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


def project_info(project_id: int, full_path: str) -> dict[str, Any]:
    """GitLab's documented answer about a project an agent may read."""
    answer = agent_info(project_id=project_id)
    answer["gitaly_repository"] |= {"gl_repository": f"project-{project_id}", "gl_project_path": full_path}
    return {name: value for name, value in answer.items() if not name.startswith("agent_")}


def proxy_user(**changes: Any) -> dict[str, Any]:
    """GitLab's documented answer about a person, changed."""
    answer: dict[str, Any] = {
        "agent": {"id": 7, "config_project": {"id": 31}},
        "user": {"id": 4, "username": "mia"},
        "access_as": {"agent": {}},
    }
    return answer | changes


def allowed_agents(**changes: Any) -> dict[str, Any]:
    """GitLab's documented answer about a job that may use agent 7, changed."""
    config_project = {"id": 31, "name": "fleet", "path_with_namespace": "ops/fleet"}
    configuration = {"default_namespace": "shop", "access_as": {"ci_job": {}}, "environments": ["production"]}
    answer: dict[str, Any] = {
        "allowed_agents": [{"id": 7, "config_project": config_project, "configuration": configuration}],
        "job": {"id": 9001},
        "pipeline": {"id": 800},
        "project": {"id": 40, "groups": [{"id": 5}, {"id": 2}]},
        "user": {"id": 4, "username": "mia", "roles_in_project": ["guest", "reporter", "developer"]},
        "environment": {"tier": "production", "slug": "production"},
    }
    return answer | changes


@dataclass
class FakeHub(httpx2.AsyncBaseTransport):
    """One project with one agent and, once `commit_id` is set, a repository; every commit has the same files."""

    token: str = "glagent-good"
    commit_id: str | None = COMMIT
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, bytes] = field(default_factory=dict)
    refs: dict[tuple[str, str], str] = field(default_factory=lambda: {("branch", "main"): COMMIT})
    """Commits by kind and name, beside `commit_id` where the default branch stands."""
    projects: dict[str, int] = field(default_factory=lambda: {"ops/fleet": 31})
    """The projects the agent may read; all have the same repository but the empty ones."""
    empty: set[int] = field(default_factory=set)
    jobs: dict[str, dict[str, Any]] = field(default_factory=lambda: {"glcbt-running": allowed_agents()})
    """What running CI jobs hear, by their tokens."""
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
        route = request.url.path.removeprefix(_PREFIX).removeprefix(_JOB)
        if forced := self._forced.get(route):
            answer = forced.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return _on_the_wire(answer)
        return _on_the_wire(await self._answer(route, request))

    async def _answer(self, route: str, request: httpx2.Request) -> httpx2.Response:
        known = request.headers.get("authorization") == f"Bearer {self.token}"
        if route.startswith(_OF_AGENTS) and not known:
            return json_answer(401, {"message": "401 Unauthorized"})
        match route:
            case "agent_info":
                return json_answer(200, agent_info())
            case "project_info" | "verify_project_access":
                return self._project(route, request.url.params["id"])
            case "agent_configuration":
                self.configurations.append(msgspec.json.decode(await request.aread()))
                return httpx2.Response(204)
            case "authorize_proxy_user":
                return json_answer(200, proxy_user())
            case "allowed_agents":
                job = self.jobs.get(request.headers.get("job-token", ""))
                return json_answer(200, job) if job else json_answer(401, {"message": "401 Unauthorized"})
            case "usage_metrics":
                return httpx2.Response(204)
            case _ if route.startswith("repository_"):
                return self._repository(route, request)
        await request.aread()
        return json_answer(404, _NOWHERE)

    def _project(self, route: str, full_path: str) -> httpx2.Response:
        project_id = self.projects.get(full_path)
        if project_id is None:
            return json_answer(404, {"message": "404 Not Found"})
        if route == "verify_project_access":
            return httpx2.Response(204)
        return json_answer(200, project_info(project_id, full_path))

    def _repository(self, route: str, request: httpx2.Request) -> httpx2.Response:
        query = request.url.params
        if int(query["project_id"]) not in self.projects.values():
            return json_answer(404, {"message": "404 Project Not Found"})
        match route:
            case "repository_head" | "repository_ref" if int(query["project_id"]) in self.empty:
                return json_answer(200, {"default_branch": "main", "commit_id": None})
            case "repository_head":
                return json_answer(200, {"default_branch": "main", "commit_id": self.commit_id})
            case "repository_ref":
                return self._ref(query)
            case _ if not self._has_commit(query["commit_id"]):
                return json_answer(404, {"message": "404 Commit Not Found"})
            case "repository_tree":
                return json_answer(
                    200, {"files": self._tree(query.get("path", ""), int(query.get("depth", 256)))}
                )
        return self._file(request)

    def _has_commit(self, commit_id: str) -> bool:
        return commit_id in {self.commit_id, *self.refs.values()}

    def _ref(self, query: httpx2.QueryParams) -> httpx2.Response:
        named = [(kind, query[kind]) for kind in ("branch", "tag", "commit") if kind in query]
        if not named:
            return json_answer(200, {"commit_id": self.commit_id})
        [(kind, name)] = named
        found = self.refs.get((kind, name))
        if kind == "commit" and self._has_commit(name):
            found = name
        if found is None:
            return json_answer(404, {"message": "404 Ref Not Found"})
        return json_answer(200, {"commit_id": found})

    def _tree(self, directory: str, depth: int) -> list[dict[str, Any]]:
        inside = f"{directory}/" if directory else ""
        listed = [
            {"path": path, "mode": mode, "size": len(content)}
            for mode, files in (("100644", self.files), ("120000", self.links))
            for path, content in files.items()
            if path.startswith(inside) and path.removeprefix(inside).count("/") < depth
        ]
        return sorted(listed, key=lambda file: str(file["path"]))

    def _file(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.params["path"] in self.links:
            return json_answer(422, {"message": "a link is not a regular file"})
        content = self.files.get(request.url.params["path"])
        if content is None:
            return json_answer(404, {"message": "404 File Not Found"})
        if len(content) > int(request.url.params["max_bytes"]):
            return json_answer(413, {"message": "413 Too large"})
        return httpx2.Response(200, content=content, headers={"content-type": "application/octet-stream"})


def _on_the_wire(answer: httpx2.Response) -> httpx2.Response:
    """As a transport gives it: its body not read yet."""
    return httpx2.Response(
        answer.status_code, headers=answer.headers, stream=httpx2.ByteStream(answer.content)
    )


def json_answer(status: int, document: object) -> httpx2.Response:
    """An answer with a JSON document."""
    body = msgspec.json.encode(document)
    return httpx2.Response(status, content=body, headers={"content-type": "application/json"})
