"""`kasbah group …`: groups of projects, which may lie in one another."""

from __future__ import annotations

from kasbah.cli.commands import noun
from kasbah.cli.lookup import find_group
from kasbah.cli.parameters import Here, Output
from kasbah.cli.resources import Group, Json
from kasbah.cli.terminal import Column, text_of

_COLUMNS = [
    Column(title="ID", render=text_of("id")),
    Column(title="PATH", render=text_of("full_path")),
    Column(title="NAME", render=text_of("name")),
    Column(title="VISIBILITY", render=text_of("visibility")),
]


def create(path: str, /, *, name: str = "", output: Output = "table", here: Here) -> None:
    """Create a group; `ops/europe` makes a subgroup of ops.

    Args:
        path: Its path, the parents before it.
        name: A name for people; the path's last part when not given.
    """
    parent, _, last = path.strip("/").rpartition("/")
    body: Json = {"path": last, "name": name or last}
    with here.connect() as api:
        if parent:
            body["parent_id"] = find_group(api, parent)["id"]
        group = api.post("/groups", Group, body)
    here.show(group, output, _COLUMNS, name="full_path")


def list_(*, output: Output = "table", here: Here) -> None:
    """List the groups this token may see."""
    with here.connect() as api:
        found = list(api.iterate("/groups", Group))
    here.show(found, output, _COLUMNS, name="full_path")


app = noun.build("group", create, list_)
