"""A GitLab small enough for the command line's unit tests: a transport that answers from dictionaries.

It knows the routes, statuses and bodies that commands rely on and refuses everything else loudly. The integration
tests run the same commands against our own hub, which keeps this one honest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx2

Json = dict[str, Any]
URL = "https://gitlab.example.org"
TOKEN = "glpat-good"


class FakeGitlab(httpx2.BaseTransport):
    """One user (mia), one project (ops/fleet, id 31) and its agents."""

    def __init__(self) -> None:
        self.kas_enabled = True
        self.agents: dict[int, Json] = {}
        self.tokens: dict[int, Json] = {}
        self.projects: dict[int, Json] = {31: self._project(31, "ops/fleet")}
        self.groups: dict[int, Json] = {5: {"id": 5, "full_path": "ops", "name": "ops"}}
        self.users: dict[int, Json] = {4: {"id": 4, "username": "mia", "name": "Mia", "state": "active"}}
        self.members: dict[int, Json] = {}
        self.access_tokens: dict[int, Json] = {}
        self.audit_records: list[Json] = []
        self.audit_proof: Json = {}
        self.asked: list[dict[str, list[str]]] = []
        """The queries, for tests of filters."""
        self.jobs: dict[int, Json] = {}
        self.requests: list[tuple[str, str, Json]] = []
        self.page_size = 100

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode().partition("?")[0].removeprefix("/api/v4")
        body = json.loads(request.read() or b"{}")
        self.requests.append((request.method, path, body))
        self.asked.append(parse_qs(request.url.query.decode()))
        if request.headers.get("PRIVATE-TOKEN") != TOKEN:
            return httpx2.Response(401, json={"message": "401 Unauthorized"})
        for method, pattern, handler in self._routes():
            found = re.fullmatch(pattern, path)
            if method == request.method and found:
                return self._answer(request, handler(body, *map(unquote, found.groups())))
        return httpx2.Response(404, json={"error": "404 Not Found"})

    def add_agent(self, name: str) -> int:
        """Register an agent in the project; its id."""
        agent_id = 7 + len(self.agents)
        project = {"id": 31, "path_with_namespace": "ops/fleet"}
        created_at = "2026-02-10T12:30:00.451Z"
        self.agents[agent_id] = {
            "id": agent_id, "name": name, "config_project": project, "created_at": created_at,
        }  # fmt: skip
        return agent_id

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        agents = r"/projects/31/cluster_agents"
        return [
            ("GET", "/kasbah/audit_records", lambda _: self.audit_records),
            ("GET", "/kasbah/audit_verification", lambda _: self.audit_proof),
            ("GET", "/user", lambda _: self.users[4]),
            ("GET", "/metadata", lambda _: self._metadata()),
            ("GET", "/users", lambda _: list(self.users.values())),
            ("POST", "/users", lambda body: self._add(self.users, {"state": "active", **body})),
            ("POST", r"/(?:user|users/\d+)/personal_access_tokens", self._create_access_token),
            ("GET", "/personal_access_tokens", lambda _: list(self.access_tokens.values())),
            ("DELETE", r"/personal_access_tokens/(\d+)", lambda _, i: self._remove(self.access_tokens, i)),
            ("GET", "/groups", lambda _: list(self.groups.values())),
            ("POST", "/groups", lambda body: self._add(self.groups, {**body, "full_path": body["path"]})),
            ("GET", r"/groups/([^/]+)", lambda _, ref: self._find(self.groups, "full_path", ref)),
            ("GET", "/projects", lambda _: list(self.projects.values())),
            ("POST", "/projects", self._create_project),
            ("GET", r"/projects/([^/]+)", lambda _, r: self._find(self.projects, "path_with_namespace", r)),
            ("DELETE", r"/projects/(\d+)", lambda _, i: self._remove(self.projects, i)),
            ("GET", r"/(?:projects/31|groups/5)/members", lambda _: list(self.members.values())),
            ("POST", r"/(?:projects/31|groups/5)/members", self._add_member),
            ("DELETE", r"/projects/31/members/(\d+)", lambda _, i: self._remove(self.members, i)),
            ("GET", "/projects/31/job_tokens", lambda _: list(self.jobs.values())),
            ("POST", "/projects/31/job_tokens", self._create_job),
            ("DELETE", r"/projects/31/job_tokens/(\d+)", lambda _, i: self._remove(self.jobs, i)),
            ("GET", agents, lambda _: sorted(self.agents.values(), key=lambda agent: str(agent["name"]))),
            ("POST", agents, self._create_agent),
            ("DELETE", rf"{agents}/(\d+)", lambda _, i: self._remove(self.agents, i)),
            ("GET", rf"{agents}/\d+/tokens", lambda _: list(self.tokens.values())),
            ("POST", rf"{agents}/\d+/tokens", self._create_token),
            ("DELETE", rf"{agents}/\d+/tokens/(\d+)", lambda _, i: self._remove(self.tokens, i)),
        ]

    def _answer(self, request: httpx2.Request, found: Any) -> httpx2.Response:
        if isinstance(found, httpx2.Response):
            return found
        if found is None:
            return httpx2.Response(204)
        if isinstance(found, list):
            page = int(parse_qs(request.url.query.decode()).get("page", ["1"])[0])
            first, last = (page - 1) * self.page_size, page * self.page_size
            following = str(page + 1) if last < len(found) else ""
            return httpx2.Response(200, json=found[first:last], headers={"X-Next-Page": following})
        return httpx2.Response(201 if request.method == "POST" else 200, json=found)

    def _metadata(self) -> Json:
        kas = {
            "enabled": self.kas_enabled,
            "externalUrl": "wss://kas.example.org" if self.kas_enabled else None,
            "externalK8sProxyUrl": "https://kas.example.org/k8s-proxy" if self.kas_enabled else None,
        }
        return {"version": "18.6.1", "kas": kas}

    def _project(self, project_id: int, path: str) -> Json:
        return {"id": project_id, "path_with_namespace": path, "default_branch": "main"}

    def _create_project(self, body: Json) -> Any:
        group = self.groups.get(body.get("namespace_id", 0), {"full_path": "mia"})
        project = self._project(100 + len(self.projects), f"{group['full_path']}/{body['path']}")
        self.projects[project["id"]] = project
        return project

    def _add_member(self, body: Json) -> Json:
        member = {**self.users[body["user_id"]], "access_level": body["access_level"], "expires_at": None}
        self.members[body["user_id"]] = member
        return member

    def _create_agent(self, body: Json) -> Any:
        if any(agent["name"] == body["name"] for agent in self.agents.values()):
            message = '400 Bad request - ["Name has already been taken"]'
            return httpx2.Response(400, json={"message": message})
        return self.agents[self.add_agent(body["name"])]

    def _create_token(self, body: Json) -> Any:
        if len(self.tokens) == 2:
            message = "400 Bad request - An agent can have only two active tokens at a time"
            return httpx2.Response(400, json={"message": message})
        created = self._add(self.tokens, {**body, "status": "active"})
        return {**created, "token": "glagent-new"}

    def _create_job(self, body: Json) -> Json:
        environment = {"name": body["environment"]} if "environment" in body else None
        user = {"id": 4, "username": "mia"}
        fields = {"protected": True, "environment": environment, "user": user, "status": "running"}
        job = self._add(self.jobs, {"ref": body["ref"], **fields})
        agents = [
            {"id": agent_id, "name": agent["name"], "project_path": "ops/fleet", "default_namespace": None}
            for agent_id, agent in self.agents.items()
        ]
        return {**job, "token": "glcbt-new", "agents": agents}

    def _create_access_token(self, body: Json) -> Json:
        return {**self._add(self.access_tokens, {**body, "active": True}), "token": "glpat-new"}

    @staticmethod
    def _add(table: dict[int, Json], fields: Json) -> Json:
        number = max(table, default=0) + 1
        table[number] = {"id": number, **fields}
        return table[number]

    @staticmethod
    def _find(table: dict[int, Json], key: str, reference: str) -> Any:
        missing = httpx2.Response(404, json={"message": "404 Not Found"})
        return next((i for i in table.values() if reference in {str(i["id"]), i[key]}), missing)

    @staticmethod
    def _remove(table: dict[int, Json], number: str) -> Any:
        if table.pop(int(number), None) is None:
            return httpx2.Response(404, json={"message": "404 Not found"})
        return None
