"""`kasbah token …`: personal access tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter

from kasbah.cli.commands import noun
from kasbah.cli.durations import parse_duration
from kasbah.cli.lookup import find_user
from kasbah.cli.parameters import Here, Output, TokenFileOut, Yes
from kasbah.cli.resources import AccessToken, Json
from kasbah.cli.secret_file import SecretFile
from kasbah.cli.terminal import Column, text_of

_COLUMNS = [
    Column(title="ID", render=text_of("id")),
    Column(title="NAME", render=text_of("name")),
    Column(title="SCOPES", render=text_of("scopes")),
    Column(title="ACTIVE", render=text_of("active")),
    Column(title="EXPIRES", render=text_of("expires_at")),
    Column(title="LAST USED", render=text_of("last_used_at")),
]


def create(
    name: str,
    /,
    *,
    scope: Annotated[tuple[str, ...], Parameter(negative="")] = ("k8s_proxy",),
    user: str = "",
    expires_in: str = "30d",
    token_file_out: TokenFileOut = None,
    output: Output = "table",
    here: Here,
) -> None:
    """Create a personal access token; it is shown once.

    For yourself GitLab allows the scope k8s_proxy only; administrators may make any token for anybody, themselves
    included, with --user.

    Args:
        name: What it is for.
        scope: api, read_api, read_user, read_repository, write_repository, k8s_proxy; may be repeated.
        user: For this person (administrators only).
        expires_in: How long it lives: 7d, 720h.
    """
    end = (datetime.now(UTC) + parse_duration(expires_in) + timedelta(days=1)).date()
    body: Json = {"name": name, "scopes": list(scope), "expires_at": end.isoformat()}
    with SecretFile(token_file_out) as file, here.connect() as api:
        owner = f"/users/{find_user(api, user)['id']}" if user else "/user"
        created = file.take(api.post(f"{owner}/personal_access_tokens", AccessToken, body))
    if output != "table":
        here.show(created, output, _COLUMNS)
    elif token_file_out is None:
        here.say(created["token"])
        here.hint("This is the only time the token is shown.")


def list_(*, output: Output = "table", here: Here) -> None:
    """List your personal access tokens, their secrets not among what is shown."""
    with here.connect() as api:
        found = list(api.iterate("/personal_access_tokens", AccessToken))
    here.show(found, output, _COLUMNS)


def revoke(token_id: int, /, *, yes: Yes = False, here: Here) -> None:
    """Revoke a personal access token: everything that uses it stops within ten seconds.

    Args:
        token_id: Its id, from `kasbah token list`.
    """
    here.confirm(f"revoke the personal access token {token_id}", yes=yes)
    with here.connect() as api:
        api.delete(f"/personal_access_tokens/{token_id}")
    here.hint(f"Revoked the personal access token {token_id}.")


app = noun.build("token", create, list_, revoke)
