"""`kasbah login`, `logout` and `whoami`: which host, as whom."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter

from kasbah.cli import credential_cache, hosts
from kasbah.cli.errors import NotAllowedError, UsageError
from kasbah.cli.hosts import Host, Hosts
from kasbah.cli.parameters import Here, Output
from kasbah.cli.resources import User
from kasbah.cli.terminal import Column, Terminal, text_of
from kasbah.errors import KasbahError
from kasbah.kit.secrets import Secret

_USER_COLUMNS = [
    Column(title="HOST", render=text_of("host")),
    Column(title="ID", render=text_of("id")),
    Column(title="USERNAME", render=text_of("username")),
    Column(title="NAME", render=text_of("name")),
]


def login(
    *,
    url: str = hosts.DEFAULT_URL,
    token_file: Path | None = None,
    token_stdin: Annotated[bool, Parameter(negative="")] = False,
    ca_file: Path | None = None,
    here: Here,
) -> None:
    """Check a personal access token against a host and store both for later commands.

    The host may be a Kasbah or a GitLab. The token needs the scope `api`; without --token-file or --token-stdin it is
    asked for. The first token of a new Kasbah is in its data directory: `root-token`, beside `ca.crt`.

    Args:
        url: The host.
        token_file: A file that holds the token.
        token_stdin: Read the token from standard input.
        ca_file: A PEM certificate authority to trust for this host, and in every kubeconfig written for it.
    """
    wanted = hosts.normalize_url(url)
    _warn_of_plain_http(wanted, here)
    authority = hosts.read_ca(ca_file) if ca_file else ""
    host = Host(wanted, _read_token(here, token_file, from_stdin=token_stdin), authority)
    with here.connect(host) as api:
        user = api.get("/user", User)
    path = hosts.config_file(here.environ)
    entries = {**hosts.load(path).by_url, wanted: host._replace(username=user["username"])}
    hosts.store(path, Hosts(current=wanted, by_url=entries))
    here.hint(f"Logged in to {wanted} as {user['username']}.")


def _read_token(here: Terminal, token_file: Path | None, /, *, from_stdin: bool) -> Secret:
    if token_file and from_stdin:
        raise UsageError("give --token-file or --token-stdin, not both")
    if token_file:
        return hosts.read_token(token_file)
    text = here.stdin.readline() if from_stdin else here.ask_secret("Personal access token: ")
    if not text.strip():
        raise UsageError("no token was given")
    return hosts.parse_token(text, "the input")


def _warn_of_plain_http(url: str, here: Terminal) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        here.hint("Warning: over plain http everybody on the way can read the token.")


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def logout(*, url: str = "", here: Here) -> None:
    """Forget a host and its token, and revoke the short-lived tokens that kubectl was given for it.

    The stored personal access token itself stays valid: `kasbah token revoke` ends it.

    Args:
        url: The host; the current one when not given.
    """
    path = hosts.config_file(here.environ)
    stored = hosts.load(path)
    wanted = hosts.normalize_url(url) if url else stored.current
    if wanted not in stored.by_url:
        raise NotAllowedError(f"not logged in to {wanted or 'any host'}: nothing to forget")
    _revoke_cached_tokens(here, stored.by_url[wanted])
    rest = {key: host for key, host in stored.by_url.items() if key != wanted}
    current = next(iter(rest), "") if stored.current == wanted else stored.current
    hosts.store(path, Hosts(current=current, by_url=rest))
    here.hint(f"Logged out of {wanted}." + (f" Commands now use {current}." if current else ""))


def _revoke_cached_tokens(here: Terminal, host: Host) -> None:
    cached = credential_cache.take_all(here.environ, host.url)
    if not cached:
        return
    with here.connect(host) as api:
        for token in cached:
            try:
                api.delete(f"/personal_access_tokens/{token.token_id}")
            except KasbahError as error:
                here.hint(
                    f"Could not revoke the token {token.token_id} (it ends on {token.expires_at}): {error}"
                )


def whoami(*, output: Output = "table", here: Here) -> None:
    """Say which host and person commands act as."""
    with here.connect() as api:
        user = api.get("/user", User)
        shown = {"host": api.host.url, **user} if output == "table" else user
    here.show(shown, output, _USER_COLUMNS, name="username")
