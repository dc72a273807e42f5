"""The kubectl credential plugin's cache: one owner-readable file for each host, agent and person.

The file's name depends on the token a person logged in with, so nobody is ever answered with another's token. A
damaged file counts as none. Loads the standard library's small parts only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from kasbah.cli.hosts import Host
from kasbah.kit import private_file
from kasbah.kit.secrets import Secret

_MARGIN = timedelta(minutes=5)
"""How long before its end a token is no longer handed out (glab's figure)."""


class CachedToken(NamedTuple):
    """A personal access token of the scope `k8s_proxy`."""

    token_id: int
    token: Secret
    expires_at: str
    """The date at whose first instant (UTC) the token dies, as the API says it."""
    host_url: str

    @property
    def usable_until(self) -> datetime:
        """The instant from which a new token is needed."""
        return datetime.fromisoformat(self.expires_at[:10]).replace(tzinfo=UTC) - _MARGIN


def directory(environ: Mapping[str, str]) -> Path:
    """Where the tokens are kept."""
    home = Path(environ.get("HOME") or "~").expanduser()
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "kasbah" / "credentials"


def entry_of(environ: Mapping[str, str], host: Host, agent_id: int) -> Path:
    """The file of one host, agent and person."""
    key = "\0".join([host.url, str(agent_id), host.token.reveal()])
    return directory(environ) / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"


def read(entry: Path) -> CachedToken | None:
    """The cached token; None when there is none that can be read."""
    try:
        document = json.loads(entry.read_bytes())
        cached = CachedToken(
            token_id=int(document["id"]),
            token=Secret(str(document["token"])),
            expires_at=str(document["expires_at"]),
            host_url=str(document["host"]),
        )
        _ = cached.usable_until
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return cached


def write(entry: Path, cached: CachedToken) -> None:
    """Keep the token for the next kubectl."""
    document = {
        "id": cached.token_id,
        "token": cached.token.reveal(),
        "expires_at": cached.expires_at,
        "host": cached.host_url,
    }
    private_file.write(entry, json.dumps(document).encode())


@contextmanager
def locked(entry: Path) -> Iterator[None]:
    """One process at a time asks for a token; the lock ends with the process, however that ends.

    Where nothing can be written there is no lock: `write` says so.
    """
    path = entry.with_suffix(".lock")
    try:
        private_file.make_directory(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, private_file.PRIVATE_MODE)
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def take_all(environ: Mapping[str, str], host_url: str) -> list[CachedToken]:
    """Remove every cached token of a host and hand them over, for whoever revokes them."""
    taken = []
    for entry in directory(environ).glob("*.json"):
        cached = read(entry)
        if cached is None or cached.host_url == host_url:
            with suppress(OSError):
                entry.unlink()
        if cached is not None and cached.host_url == host_url:
            taken.append(cached)
    return taken
