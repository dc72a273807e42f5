"""`kasbah agent …`: agents, one for each cluster, and the kubeconfig that reaches it."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter

from kasbah.cli import credential, kubeconfig
from kasbah.cli.commands import agent_token, noun
from kasbah.cli.durations import parse_duration, render_duration
from kasbah.cli.hosts import Host
from kasbah.cli.lookup import agent_path, agents_path, find_agent, find_project, find_proxy_url
from kasbah.cli.parameters import AgentName, Here, InProject, Output, TokenFileOut, Yes
from kasbah.cli.resources import Agent, AgentToken, Json, Metadata, Project
from kasbah.cli.secret_file import SecretFile
from kasbah.cli.terminal import Column, Terminal, text_of
from kasbah.errors import KasbahError, UserError

if TYPE_CHECKING:
    from kasbah.cli.api_client import ApiClient

_COLUMNS = [
    Column(title="ID", render=text_of("id")),
    Column(title="NAME", render=text_of("name")),
    Column(title="PROJECT", render=lambda agent: _project_of(agent)["path_with_namespace"]),
    Column(title="CREATED", render=text_of("created_at")),
]


def _project_of(agent: Any) -> Json:
    project: Json = agent["config_project"]
    return project


def register(
    name: str,
    /,
    *,
    project: InProject,
    token_name: str = "kasbah",
    token_file_out: TokenFileOut = None,
    output: Output = "table",
    here: Here,
) -> None:
    """Register an agent for a cluster and make the token agentk connects with; the token is shown once.

    Args:
        name: Small letters, digits and dashes, at most 63.
        token_name: What the token is called.
    """
    with SecretFile(token_file_out) as file, here.connect() as api:
        kas_address = api.get("/metadata", Metadata)["kas"]["externalUrl"] or ""
        agent = _create(api, find_project(api, project), name)
        token = file.take(_first_token(api, agent, token_name))
    if output in {"json", "yaml"}:
        here.show({"agent": agent, "token": token, "kas_address": kas_address}, output, _COLUMNS)
    elif output == "name":
        here.say(agent["name"])
    else:
        _explain(here, agent, token, token_file_out, kas_address)


def _create(api: ApiClient, project: Project, name: str) -> Agent:
    try:
        return api.post(agents_path(project), Agent, {"name": name})
    except UserError as error:
        if "already been taken" not in str(error):
            raise
        again = f"kasbah agent token create {name} --project {project['path_with_namespace']}"
        raise UserError(
            f"the name {name!r} has already been taken in this project; for another token of it run `{again}`"
        ) from error


def _first_token(api: ApiClient, agent: Agent, name: str) -> AgentToken:
    try:
        return api.post(f"{agent_path(agent)}/tokens", AgentToken, {"name": name})
    except KasbahError as error:
        again = f"kasbah agent token create {agent['name']} --project {agent['config_project']['path_with_namespace']}"
        raise UserError(
            f"the agent is registered, but it has no token yet ({error}); run `{again}`"
        ) from error


def _explain(
    here: Terminal, agent: Agent, token: AgentToken, token_file: Path | None, kas_address: str
) -> None:
    here.say(
        f"Registered the agent {agent['name']} (id {agent['id']}) in {_project_of(agent)['path_with_namespace']}."
    )
    if token_file is None:
        here.say(
            f"\nIts token, shown this once:\n\n  {token['token']}\n\nPut it into a file of its own and run:\n"
        )
    else:
        here.say(f"Its token is in {token_file}.\n\nIn the cluster, or beside it, run:\n")
    file = shlex.quote(str(token_file or "TOKEN_FILE"))
    here.say(f"  agentk --kas-address={kas_address} --token-file={file}{_ca_flag(here, kas_address)}")
    here.say(f"\nThen reach the cluster:\n\n  {_update_command(agent)}")


def _ca_flag(here: Terminal, kas_address: str) -> str:
    """Our agentk needs the authority too when it dials over TLS."""
    if urlsplit(kas_address).scheme not in {"wss", "grpcs"} or not here.host().ca_certificate:
        return ""
    return f" --ca-cert-file={shlex.quote(here.environ.get('KASBAH_CA_FILE') or 'CA_FILE')}"


def _update_command(agent: Agent) -> str:
    project = _project_of(agent)["path_with_namespace"]
    return f"kasbah agent update-kubeconfig {agent['name']} --project {project} --use-context"


def list_(*, project: InProject, output: Output = "table", here: Here) -> None:
    """List a project's agents."""
    with here.connect() as api:
        found = list(api.iterate(agents_path(find_project(api, project)), Agent))
    here.show(found, output, _COLUMNS)


def get(agent: AgentName, *, project: InProject, output: Output = "table", here: Here) -> None:
    """Show one agent."""
    with here.connect() as api:
        found = find_agent(api, project, agent)
    here.show(found, output, _COLUMNS)


def delete(agent: AgentName, *, project: InProject, yes: Yes = False, here: Here) -> None:
    """Delete an agent and its tokens: its cluster is out of reach within ten seconds."""
    with here.connect() as api:
        found = find_agent(api, project, agent)
        here.confirm(f"delete the agent {found['name']} with its tokens", yes=yes)
        api.delete(agent_path(found))
    here.hint(f"Deleted the agent {found['name']}.")


def update_kubeconfig(
    agent: AgentName,
    *,
    project: InProject,
    use_context: Annotated[bool, Parameter(name=["--use-context", "-u"], negative="")] = False,
    kubeconfig_file: Annotated[Path | None, Parameter(name="--kubeconfig")] = None,
    token_expiry_duration: str = "24h",
    check_revoked: Annotated[bool, Parameter(negative="")] = False,
    here: Here,
) -> None:
    """Write a context for an agent's cluster into the kubeconfig; everything else in the file stays as it is.

    No token is written: kubectl calls `kasbah-credential`, which makes short-lived ones and keeps them in a cache.

    Args:
        use_context: Make it the current context.
        kubeconfig_file: The file to change instead of $KUBECONFIG or ~/.kube/config.
        token_expiry_duration: How long kubectl's tokens live: at least 24h.
        check_revoked: Let kubectl ask, at each call, whether its token was revoked.
    """
    duration = credential.check_duration(parse_duration(token_expiry_duration))
    with here.connect() as api:
        found = find_agent(api, project, agent)
        proxy_url = find_proxy_url(api)
    options = [
        "--token-expiry-duration",
        render_duration(duration),
        *(["--check-revoked"] if check_revoked else []),
    ]
    entry = _entry(here.host(), found, proxy_url, options)
    kubeconfig.update(kubeconfig.choose_file(here.environ, kubeconfig_file), entry, use_context=use_context)
    here.say(f"Updated context {entry.context_name}.")
    if use_context:
        here.say(f"Using context {entry.context_name}.")
    if not proxy_url.startswith("https:"):
        here.hint(f"Warning: kubectl sends no credentials to {proxy_url}, because it is not https.")


def _entry(host: Host, agent: Agent, proxy_url: str, options: list[str]) -> kubeconfig.Entry:
    """Names as glab writes them, so both programs' contexts are the same ones."""
    cluster_name = re.sub(r"[./]", "_", urlsplit(host.url).netloc)
    project = re.sub(r"[./]", "_", _project_of(agent)["path_with_namespace"])
    cluster: Json = {"server": proxy_url}
    if host.ca_certificate and proxy_url.startswith("https:"):
        cluster["certificate-authority-data"] = base64.b64encode(host.ca_certificate.encode()).decode()
    return kubeconfig.Entry(
        cluster_name=cluster_name,
        user_name=f"{cluster_name}-{agent['id']}",
        context_name=f"{cluster_name}-{project}-{agent['name']}",
        cluster=cluster,
        user={"exec": _exec(host, agent, options)},
    )


def _exec(host: Host, agent: Agent, options: list[str]) -> Json:
    called: Json = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": _plugin_path(),
        "args": ["--agent", str(agent["id"]), "--host", host.url, *options],
        "installHint": "To authenticate to the current cluster, kasbah-credential is required: it is part of kasbah.",
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }
    if host.environment:
        called["env"] = [{"name": name, "value": value} for name, value in host.environment]
    return called


def _plugin_path() -> str:
    """The plugin beside the running program: an absolute path, because kubectl may run with another PATH."""
    beside = [Path(sys.argv[0]).absolute().parent, Path(sys.executable).parent]
    for directory in beside:
        if os.access(directory / "kasbah-credential", os.X_OK):
            return str(directory / "kasbah-credential")
    if found := shutil.which("kasbah-credential"):
        return str(Path(found).absolute())
    raise UserError("kasbah-credential is not installed beside kasbah; install kasbah again")


def get_token(
    agent: AgentName,
    *,
    project: InProject = "",
    token_expiry_duration: str = "24h",
    check_revoked: Annotated[bool, Parameter(negative="")] = False,
    here: Here,
) -> None:
    """Print a credential for kubectl (an ExecCredential), from the cache or freshly made.

    An agent's name needs --project; its id does not.

    Args:
        token_expiry_duration: How long the token lives: at least 24h.
        check_revoked: Ask whether the cached token was revoked before it is handed out.
    """
    agent_id = agent
    if project:
        with here.connect() as api:
            agent_id = str(find_agent(api, project, agent)["id"])
    arguments = ["--agent", agent_id, "--token-expiry-duration", token_expiry_duration]
    options = credential.parse_options([*arguments, *(["--check-revoked"] if check_revoked else [])])
    if options is not None:
        here.say(credential.obtain(options, here.environ, datetime.now(UTC)))


app = noun.build("agent", register, list_, get, delete, update_kubeconfig, get_token, agent_token.app)
