"""From what a person types (a path, a name, an id) to the API's object, or an error that says what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from kasbah.cli.errors import NotFoundError, UsageError
from kasbah.cli.resources import Agent, Group, Metadata, Project, User
from kasbah.errors import UserError

if TYPE_CHECKING:
    from kasbah.cli.api_client import ApiClient


def escape(reference: str) -> str:
    """A path (`ops/fleet`) or id as one segment of a URL."""
    if not reference.strip("/ "):
        raise UsageError("a path or an id is needed, and it is empty")
    return quote(reference.strip("/"), safe="")


def find_project(api: ApiClient, reference: str) -> Project:
    """The project of a path or id."""
    try:
        return api.get(f"/projects/{escape(reference)}", Project)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no project {reference!r} that this token may see; `kasbah project list` shows those it may"
        ) from error


def find_group(api: ApiClient, path: str) -> Group:
    """The group of a path or id."""
    try:
        return api.get(f"/groups/{escape(path)}", Group)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no group {path!r}; create it with `kasbah group create {path}`"
        ) from error


def find_user(api: ApiClient, username: str) -> User:
    """The person of a user name."""
    users = api.iterate("/users", User, {"username": username})
    found = next((user for user in users if user["username"] == username), None)
    if found is None:
        raise NotFoundError(f"there is no user {username!r}; `kasbah user list` shows who is there")
    return found


def find_agent(api: ApiClient, project: str, reference: str) -> Agent:
    """The project's agent of a name or id; a name made of digits only is found when no id fits."""
    found_project = find_project(api, project)
    agents = list(api.iterate(agents_path(found_project), Agent))
    by_id = [agent for agent in agents if str(agent["id"]) == reference]
    found = next(iter([*by_id, *(agent for agent in agents if agent["name"] == reference)]), None)
    if found is None:
        names = ", ".join(agent["name"] for agent in agents[:5]) or "none yet"
        where = found_project["path_with_namespace"]
        raise NotFoundError(f"there is no agent {reference!r} in {where} (there: {names})")
    return found


def find_proxy_url(api: ApiClient) -> str:
    """Where kubectl asks: kas' Kubernetes API, as the host's metadata name it."""
    kas = api.get("/metadata", Metadata)["kas"]
    if not kas["enabled"] or not kas["externalUrl"]:
        raise UserError(
            f"the agent server (kas) is disabled on {api.host.url}: no cluster can be reached through it"
        )
    # GitLab before 17.6 does not name the proxy; glab's rule: https and k8s-proxy below the external URL.
    parts = urlsplit(kas["externalUrl"])
    return kas.get("externalK8sProxyUrl") or f"https://{parts.netloc}{parts.path.rstrip('/')}/k8s-proxy"


def agents_path(project: Project) -> str:
    """Where a project's agents lie in the API."""
    return f"/projects/{project['id']}/cluster_agents"


def agent_path(agent: Agent) -> str:
    """Where an agent lies in the API."""
    return f"/projects/{agent['config_project']['id']}/cluster_agents/{agent['id']}"
