"""`kasbah-credential`: the kubectl exec credential plugin, a program of its own because kubectl starts it every time.

Prints an ExecCredential holding `pat:<agent id>:<personal access token>`. The token has the scope `k8s_proxy` only, is
cached (owner-readable) until shortly before it ends, and is asked for by one process at a time, however many kubectl
start at once. Loads the standard library's small parts only: under 80 ms from the cache.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from kasbah.cli import credential_cache, hosts
from kasbah.cli.durations import parse_duration
from kasbah.cli.errors import NotAllowedError, UsageError, exit_code
from kasbah.cli.hosts import Host
from kasbah.errors import KasbahError, PeerError
from kasbah.kit.secrets import Secret, scrub

MIN_DURATION = timedelta(hours=24)
USAGE = """\
usage: kasbah-credential --agent ID [--host URL] [--token-expiry-duration 24h] [--check-revoked]

Prints a credential for kubectl. `kasbah agent update-kubeconfig` writes the kubeconfig that calls it.
"""


class Options(NamedTuple):
    """What the kubeconfig asks for."""

    agent_id: int
    host_url: str = ""
    duration: timedelta = MIN_DURATION
    check_revoked: bool = False
    """Ask the host before a cached token is used: one more round trip a call."""


def main() -> None:
    """The console script."""
    try:
        options = parse_options(sys.argv[1:])
        if options is None:
            sys.stdout.write(USAGE)
            return
        print(obtain(options, os.environ, datetime.now(UTC)))
    except KasbahError as error:
        print(f"kasbah-credential: {scrub(str(error))}", file=sys.stderr)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)


def parse_options(arguments: Sequence[str]) -> Options | None:
    """The options; None when help is asked for. (argparse would cost 10 ms of the 80.)"""
    values: dict[str, str] = {}
    flags: set[str] = set()
    rest = list(arguments)
    while rest:
        name, _, value = rest.pop(0).partition("=")
        if name in {"-h", "--help"}:
            return None
        if name == "--check-revoked":
            flags.add(name)
        elif name in {"--agent", "--host", "--token-expiry-duration"}:
            if not value and not rest:
                raise UsageError(f"{name} needs a value\n{USAGE}")
            values[name] = value or rest.pop(0)
        else:
            raise UsageError(f"unknown option {name!r}\n{USAGE}")
    return Options(
        agent_id=_parse_agent_id(values.get("--agent", "")),
        host_url=values.get("--host", ""),
        duration=check_duration(parse_duration(values.get("--token-expiry-duration", "24h"))),
        check_revoked="--check-revoked" in flags,
    )


def _parse_agent_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:19]) == 0:
        raise UsageError(f"--agent needs the agent's id, a number\n{USAGE}")
    return int(text[:19])


def check_duration(duration: timedelta) -> timedelta:
    """GitLab's tokens end at a midnight, so less than a day cannot be promised."""
    if duration < MIN_DURATION:
        raise UsageError("token expiry duration must be at least 24 hours")
    if duration > timedelta(days=365):
        raise UsageError("token expiry duration must be at most 365 days (8760h)")
    return duration


def obtain(options: Options, environ: Mapping[str, str], now: datetime) -> str:
    """The ExecCredential as JSON, from the cache or freshly made."""
    host = hosts.resolve(environ, options.host_url)
    entry = credential_cache.entry_of(environ, host, options.agent_id)
    cached = _usable(options, host, credential_cache.read(entry), now)
    if cached is None:
        with credential_cache.locked(entry):
            # Somebody else may have made one while we waited.
            cached = _usable(options, host, credential_cache.read(entry), now)
            if cached is None:
                cached = _create(host, options.duration, now)
                _keep(entry, cached)
    return render_credential(options.agent_id, cached)


def _keep(entry: Path, cached: credential_cache.CachedToken) -> None:
    try:
        credential_cache.write(entry, cached)
    except OSError as error:
        # kubectl can go on (a read-only home, a full disk), but each call now makes a token: somebody should know.
        print(
            f"kasbah-credential: cannot keep the token in {entry.parent}: {error.strerror}", file=sys.stderr
        )


def _usable(
    options: Options, host: Host, cached: credential_cache.CachedToken | None, now: datetime
) -> credential_cache.CachedToken | None:
    if cached is None or cached.usable_until <= now:
        return None
    if options.check_revoked and _is_revoked(host, cached):
        return None
    return cached


def _is_revoked(host: Host, cached: credential_cache.CachedToken) -> bool:
    from kasbah.cli import token_request  # ssl and urllib are for the way past the cache

    try:
        token_request.call(host, "GET", "/personal_access_tokens/self", token=cached.token)
    except NotAllowedError:
        return True
    return False


def _create(host: Host, duration: timedelta, now: datetime) -> credential_cache.CachedToken:
    from kasbah.cli import token_request  # ssl and urllib are for the way past the cache

    body = {
        "name": f"kasbah-k8s-proxy-{os.urandom(16).hex()}",
        "scopes": ["k8s_proxy"],
        "expires_at": expiry_date(now, duration),
    }
    answer = token_request.call(host, "POST", "/user/personal_access_tokens", body)
    try:
        return credential_cache.CachedToken(
            token_id=int(answer["id"]),
            token=Secret(str(answer["token"])),
            expires_at=str(answer["expires_at"]),
            host_url=host.url,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PeerError(
            f"{host.url} answered without a token; is it a Kasbah or a GitLab from 16.5 on?"
        ) from error


def expiry_date(now: datetime, duration: timedelta) -> str:
    """The date at whose first instant (UTC) the token dies: never before the duration is over.

    GitLab's clients send the date of `now + duration`, which at 23:59 UTC makes a day's token live for a minute.
    """
    end = (now + duration).astimezone(UTC)
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight if midnight == end else midnight + timedelta(days=1)).date().isoformat()


def render_credential(agent_id: int, cached: credential_cache.CachedToken) -> str:
    """An ExecCredential as kubectl reads it and glab prints it."""
    document = {
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "spec": {"interactive": False},
        "status": {
            "expirationTimestamp": cached.usable_until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "token": f"pat:{agent_id}:{cached.token.reveal()}",
        },
    }
    return json.dumps(document, indent=2)


if __name__ == "__main__":
    main()
