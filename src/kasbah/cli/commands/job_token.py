"""`kasbah job-token …`: tokens for CI jobs, and the kubeconfig a job reaches its agents with."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from kasbah.cli.commands import noun
from kasbah.cli.durations import parse_duration
from kasbah.cli.errors import NotFoundError, UsageError
from kasbah.cli.hosts import Host
from kasbah.cli.lookup import find_project, find_proxy_url, find_user
from kasbah.cli.parameters import Here, InProject, Output, Yes
from kasbah.cli.resources import JobToken, Json, Project
from kasbah.cli.secret_file import SecretFile
from kasbah.cli.terminal import Column, Terminal, text_of
from kasbah.errors import UserError
from kasbah.kit import private_file

Tier = Literal["production", "staging", "testing", "development", "other"]

_SHORTEST_S: Final = 60
_LONGEST_S: Final = 24 * 3600

_COLUMNS = [
    Column(title="ID", render=text_of("id")),
    Column(title="REF", render=text_of("ref")),
    Column(title="PROTECTED", render=text_of("protected")),
    Column(title="ENVIRONMENT", render=lambda job: _field(job, "environment", "name")),
    Column(title="USER", render=lambda job: _field(job, "user", "username")),
    Column(title="STATUS", render=text_of("status")),
    Column(title="EXPIRES", render=text_of("expires_at")),
]


def _field(job: Any, of: str, name: str) -> object:
    return (job.get(of) or {}).get(name)


def create(
    *,
    project: InProject,
    ref: str,
    environment: str = "",
    tier: Tier | None = None,
    user: str = "",
    pipeline_id: int | None = None,
    expires_in: str = "1h",
    kubeconfig_out: Path | None = None,
    output: Output = "table",
    here: Here,
) -> None:
    """Create a token for a CI job; it is shown once, and dies when the job is finished.

    For any CI: run this before the job with a token of yours, give the job its own token, and finish it afterwards. On
    a protected branch you need the role that may push or merge there, elsewhere developer. The job reaches the agents
    whose configuration lets it in (`ci_access`), by its environment and branch.

    Args:
        ref: The branch (main), or the full name of a branch or tag (refs/tags/v1.2).
        environment: Where the job deploys to; `ci_access` may ask for it.
        tier: What kind of environment that is; guessed from its name.
        user: For this person (administrators only).
        pipeline_id: Your CI's number of the pipeline.
        expires_in: When the token dies at the latest: 15m, 1h; at most 24h.
        kubeconfig_out: Write the job's KUBECONFIG to this file instead of showing the token: a context
            `<project>:<agent>` for each agent. In the job: `kubectl --context ops/fleet:prod get pods`.
    """
    body = _body(ref, environment, tier, pipeline_id, expires_in)
    with SecretFile(kubeconfig_out), here.connect() as api:
        found = find_project(api, project)
        if user:
            body["user_id"] = find_user(api, user)["id"]
        proxy_url = find_proxy_url(api) if kubeconfig_out is not None else ""
        created = api.post(_path(found), JobToken, body)
    if kubeconfig_out is not None:
        _write(kubeconfig_out, _kubeconfig(here.host(), proxy_url, created))
        created.pop("token", None)
    _tell(here, created, kubeconfig_out, output)


def _body(ref: str, environment: str, tier: Tier | None, pipeline_id: int | None, expires_in: str) -> Json:
    if tier is not None and not environment:
        raise UsageError("--tier says what kind of --environment it is; give both")
    body: Json = {
        "ref": ref if ref.startswith("refs/") else f"refs/heads/{ref}",
        "expires_in": _seconds(expires_in),
    }
    given = {"environment": environment or None, "tier": tier, "pipeline_id": pipeline_id}
    return {**body, **{name: value for name, value in given.items() if value is not None}}


def _seconds(expires_in: str) -> int:
    seconds = int(parse_duration(expires_in).total_seconds())
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise UsageError("--expires-in takes from 1m to 24h")
    return seconds


def _path(project: Project) -> str:
    return f"/projects/{project['id']}/job_tokens"


def _kubeconfig(host: Host, proxy_url: str, job: JobToken) -> Json:
    """The names are GitLab's, so pipelines written for it find their contexts here."""
    cluster: Json = {"server": proxy_url}
    if host.ca_certificate and proxy_url.startswith("https:"):
        cluster["certificate-authority-data"] = base64.b64encode(host.ca_certificate.encode()).decode()
    users, contexts = [], []
    for agent in job.get("agents", []):
        user_name = f"agent:{agent['id']}"
        users.append({"name": user_name, "user": {"token": f"ci:{agent['id']}:{job.get('token', '')}"}})
        context: Json = {"cluster": "gitlab", "user": user_name}
        if agent["default_namespace"]:
            context["namespace"] = agent["default_namespace"]
        contexts.append({"name": f"{agent['project_path']}:{agent['name']}", "context": context})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "gitlab", "cluster": cluster}],
        "users": users,
        "contexts": contexts,
    }


def _write(path: Path, document: Json) -> None:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    try:
        private_file.write(path, text.encode())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; the job's token is lost") from error


def _tell(here: Terminal, job: JobToken, file: Path | None, output: Output) -> None:
    if output != "table":
        here.show(job, output, _COLUMNS, name="id")
    elif file is None:
        here.say(job.get("token", ""))
        here.hint(f"This is the only time the token is shown. The job's id is {job['id']}.")
    else:
        here.say(f"Wrote {file} for the job {job['id']}.")
    contexts = [f"{agent['project_path']}:{agent['name']}" for agent in job.get("agents", [])]
    if contexts:
        here.hint(f"It reaches: {', '.join(contexts)}.")
    else:
        here.hint("It reaches no agent: `ci_access` of an agent's configuration must let it in.")


def list_(*, project: InProject, output: Output = "table", here: Here) -> None:
    """List a project's CI jobs that asked for a token, the newest first."""
    with here.connect() as api:
        found = list(api.iterate(_path(find_project(api, project)), JobToken))
    here.show(found, output, _COLUMNS, name="id")


def finish(job_id: int, /, *, project: InProject, yes: Yes = False, here: Here) -> None:
    """Finish a CI job: its token is dead at once, and what runs with it is cut within ten seconds.

    Args:
        job_id: The job's id, from `kasbah job-token create` or `list`.
    """
    with here.connect() as api:
        found = find_project(api, project)
        here.confirm(f"finish the job {job_id} of {found['path_with_namespace']}", yes=yes)
        try:
            api.delete(f"{_path(found)}/{job_id}")
        except NotFoundError as error:
            where = found["path_with_namespace"]
            raise NotFoundError(
                f"there is no job {job_id} in {where}; `kasbah job-token list --project {where}` shows those there are"
            ) from error
    here.hint(f"Finished the job {job_id}.")


app = noun.build("job-token", create, list_, finish)
