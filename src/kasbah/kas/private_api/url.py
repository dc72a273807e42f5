"""Where a replica's private API is: `grpc://HOST:PORT`, `grpcs://HOST:PORT` or `unix:///PATH`, as GitLab writes it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from kasbah.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateApiUrl:
    """A place to dial."""

    host: str = ""
    port: int = 0
    path: str = ""
    """Of a unix socket; then there is no host."""
    tls: bool = False

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'grpcs' if self.tls else 'grpc'}://{host}:{self.port}"


def parse_url(text: str) -> PrivateApiUrl:
    """Read it.

    Raises:
        UserError: another scheme, no host or port, or more than those.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError as error:
        raise UserError(f"{text!r} is no URL of a private API: {error}") from error
    if parts.username is not None or parts.query or parts.fragment:
        raise UserError("the URL of a private API has a scheme, a host and a port, and nothing more")
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        return PrivateApiUrl(path=parts.path)
    if parts.scheme not in {"grpc", "grpcs"} or not host or not port or parts.path not in {"", "/"}:
        raise UserError(
            f"{text!r} is no URL of a private API, such as grpc://10.0.0.5:8155, grpcs://kas-1:8155 or unix:///run/kas"
        )
    return PrivateApiUrl(host=host, port=port, tls=parts.scheme == "grpcs")
