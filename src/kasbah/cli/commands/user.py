"""`kasbah user …`: people; for administrators."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from kasbah.cli.commands import noun
from kasbah.cli.parameters import Here, Output
from kasbah.cli.resources import Json, User
from kasbah.cli.terminal import Column, text_of

_COLUMNS = [
    Column(title="ID", render=text_of("id")),
    Column(title="USERNAME", render=text_of("username")),
    Column(title="NAME", render=text_of("name")),
    Column(title="STATE", render=text_of("state")),
]


def create(
    username: str,
    /,
    *,
    email: str,
    name: str = "",
    admin: Annotated[bool, Parameter(negative="")] = False,
    output: Output = "table",
    here: Here,
) -> None:
    """Create a person. `kasbah token create --user` then makes a token for them.

    Args:
        username: What they are called in paths and logs.
        email: Their address.
        name: Their name; the user name when not given.
        admin: Make them an administrator.
    """
    body: Json = {
        "username": username,
        "name": name or username,
        "email": email,
        "admin": admin,
        "force_random_password": True,
        "skip_confirmation": True,
    }
    with here.connect() as api:
        user = api.post("/users", User, body)
    here.show(user, output, _COLUMNS, name="username")


def list_(*, output: Output = "table", here: Here) -> None:
    """List the people this token may see."""
    with here.connect() as api:
        found = list(api.iterate("/users", User))
    here.show(found, output, _COLUMNS, name="username")


app = noun.build("user", create, list_)
