"""What the hub has to know before agents can connect: a project, and in it agents with their configuration and a token."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from bench.errors import BenchError

_CONFIGURATION = """
user_access:
  access_as:
    user: {{}}
  projects:
    - id: {project}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One registered agent."""

    id: int
    token: str


def register(base: str, token: str, checkout: Path, names: Sequence[str]) -> list[Agent]:
    """One agent of each name, open to whoever may see its project.

    Raises:
        BenchError: the hub refuses.
    """
    with httpx2.Client(base_url=f"{base}/api/v4", headers={"PRIVATE-TOKEN": token}, trust_env=False) as api:
        project = _post(api, "/projects", {"name": "bench"})
        path = project["path_with_namespace"]
        files = {f".gitlab/agents/{name}/config.yaml": _CONFIGURATION.format(project=path) for name in names}
        _push(f"{base}/{path}.git", token, checkout, files)
        return [_agent(api, f"/projects/{project['id']}/cluster_agents", name) for name in names]


def _agent(api: httpx2.Client, path: str, name: str) -> Agent:
    agent = _post(api, path, {"name": name})
    created = _post(api, f"{path}/{agent['id']}/tokens", {"name": "bench"})
    return Agent(id=int(agent["id"]), token=str(created["token"]))


def _post(api: httpx2.Client, path: str, body: dict[str, str]) -> dict[str, Any]:
    response = api.post(path, json=body)
    if response.status_code != httpx2.codes.CREATED:
        raise BenchError(f"POST {path}: {response.status_code} {response.text[:256]}")
    answer: dict[str, Any] = response.json()
    return answer


def _push(url: str, token: str, checkout: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        file = checkout / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
    credential = base64.b64encode(f"root:{token}".encode()).decode()
    settings = {
        "http.extraHeader": f"Authorization: Basic {credential}",
        "user.name": "bench",
        "user.email": "bench@example.com",
        "init.defaultBranch": "main",
    }
    # In the environment and not in the arguments: those are for everybody to read.
    environment = os.environ | {
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_TERMINAL_PROMPT": "0",
        "NO_PROXY": "*",
    }
    for number, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-q", "-m", "configure"],
        ["push", "-q", url, "HEAD:main"],
    ):
        finished = subprocess.run(
            ["git", "-C", checkout, *words], env=environment, capture_output=True, text=True, check=False
        )
        if finished.returncode:
            raise BenchError(f"git {words[0]}: {finished.stderr.strip()}")
