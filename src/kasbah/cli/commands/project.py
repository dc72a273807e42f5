"""`kasbah project …`: projects, each with a Git repository."""

from __future__ import annotations

from typing import Literal

from kasbah.cli.commands import noun
from kasbah.cli.lookup import find_group, find_project
from kasbah.cli.parameters import Here, Output, Yes
from kasbah.cli.resources import Json, Project
from kasbah.cli.terminal import Column, text_of

Visibility = Literal["private", "internal", "public"]

_COLUMNS = [
    Column(title="ID", render=text_of("id")),
    Column(title="PATH", render=text_of("path_with_namespace")),
    Column(title="VISIBILITY", render=text_of("visibility")),
    Column(title="BRANCH", render=text_of("default_branch")),
    Column(title="REPOSITORY", render=text_of("http_url_to_repo")),
]


def create(
    path: str,
    /,
    *,
    visibility: Visibility = "private",
    description: str = "",
    output: Output = "table",
    here: Here,
) -> None:
    """Create a project with an empty repository.

    Args:
        path: `fleet` for a project of your own, `ops/fleet` for one in the group ops.
        visibility: Who may read it.
        description: A line for people.
    """
    namespace, _, name = path.strip("/").rpartition("/")
    body: Json = {"name": name, "path": name, "visibility": visibility}
    if description:
        body["description"] = description
    with here.connect() as api:
        if namespace:
            body["namespace_id"] = find_group(api, namespace)["id"]
        project = api.post("/projects", Project, body)
    here.show(project, output, _COLUMNS, name="path_with_namespace")


def list_(*, search: str = "", output: Output = "table", here: Here) -> None:
    """List the projects this token may see.

    Args:
        search: Only those with this in their name or path.
    """
    with here.connect() as api:
        found = list(api.iterate("/projects", Project, {"search": search} if search else None))
    here.show(found, output, _COLUMNS, name="path_with_namespace")


def get(project: str, /, *, output: Output = "table", here: Here) -> None:
    """Show one project.

    Args:
        project: Its path (ops/fleet) or id.
    """
    with here.connect() as api:
        found = find_project(api, project)
    here.show(found, output, _COLUMNS, name="path_with_namespace")


def delete(project: str, /, *, yes: Yes = False, here: Here) -> None:
    """Delete a project with its repository, agents and tokens. There is no way back.

    Args:
        project: Its path (ops/fleet) or id.
    """
    with here.connect() as api:
        found = find_project(api, project)
        here.confirm(f"delete the project {found['path_with_namespace']} with everything in it", yes=yes)
        api.delete(f"/projects/{found['id']}")
    here.hint(f"Deleted the project {found['path_with_namespace']}.")


app = noun.build("project", create, list_, get, delete)
