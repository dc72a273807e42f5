"""Who acts in the cluster: the agent itself, or an impersonated user.

"Nobody" cannot be encoded: an empty user name is an error, and acting as the agent is a type of its own.
The strings follow GitLab byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from kasbah.errors import Bug

_TOKEN_BYTES = frozenset(b"!#$&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")  # no %, no capitals
_FORBIDDEN_VALUE = re.compile(r"[^\x20-\x7e]|^\s|\s$")
_EXTRA_PREFIX: Final = "impersonate-extra-"
NESTED_IMPERSONATION: Final = (
    "nested impersonation is not supported - agent is already configured to impersonate an identity"
)
"""GitLab's words for whoever names an identity where the configuration has named one."""


class InvalidIdentityError(Bug, ValueError):
    """An impersonated identity cannot be built from these values."""


class AsAgent(msgspec.Struct, frozen=True, tag="agent"):
    """The agent's own service account acts; nothing is impersonated."""


class AsUser(msgspec.Struct, frozen=True, tag="user", kw_only=True):
    """An impersonated identity; every field is sent as it stands."""

    username: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Keys in lower case with their values, in the order they are sent."""

    def __post_init__(self) -> None:
        if not self.username:
            raise InvalidIdentityError("an impersonated identity needs a user name")
        values = [self.username, self.uid, *self.groups, *(v for _, vs in self.extra for v in vs)]
        if any(_FORBIDDEN_VALUE.search(value) for value in values):
            raise InvalidIdentityError("an impersonated identity holds a value that cannot be an HTTP header")


Identity = AsAgent | AsUser


def impersonation_headers(identity: Identity) -> tuple[tuple[bytes, bytes], ...]:
    """The `Impersonate-*` headers of an identity, in order; empty for the agent itself."""
    if isinstance(identity, AsAgent):
        return ()
    headers = [(b"Impersonate-User", identity.username.encode())]
    headers += [(b"Impersonate-Group", group.encode()) for group in identity.groups]
    if identity.uid:
        headers.append((b"Impersonate-Uid", identity.uid.encode()))
    for key, values in identity.extra:
        name = b"Impersonate-Extra-" + _escape_extra_key(key)
        headers += [(name, value.encode()) for value in values]
    return tuple(headers)


def named_identity(headers: Iterable[tuple[str, str]]) -> AsUser | None:
    """Whom a client names by `Impersonate-*` headers, as the API server would read them; None when there are none.

    Args:
        headers: names in lower case; others than `impersonate-*` do not count.

    Raises:
        InvalidIdentityError: they name nobody, or more than one.
    """
    named: dict[str, list[str]] = {}
    extra: dict[str, list[str]] = {}
    for name, value in headers:
        if name.startswith(_EXTRA_PREFIX):
            extra.setdefault(_unescape_extra_key(name[len(_EXTRA_PREFIX) :]), []).append(value)
        elif name.startswith("impersonate-"):
            named.setdefault(name, []).append(value)
    if not named and not extra:
        return None
    users, uids = named.pop("impersonate-user", []), named.pop("impersonate-uid", [])
    groups = named.pop("impersonate-group", [])
    if named:
        raise InvalidIdentityError(f"the header {next(iter(named))} is not a client's to send")
    if len(users) != 1 or len(uids) > 1:
        raise InvalidIdentityError("impersonation needs exactly one Impersonate-User")
    return AsUser(
        username=users[0],
        groups=tuple(groups),
        uid="".join(uids),
        extra=tuple((key, tuple(values)) for key, values in extra.items()),
    )


def _unescape_extra_key(escaped: str) -> str:
    try:
        key = unquote_to_bytes(escaped).decode().lower()
    except UnicodeDecodeError as error:
        raise InvalidIdentityError("the key of an Impersonate-Extra header is not UTF-8") from error
    if not key:
        raise InvalidIdentityError("an Impersonate-Extra header needs a key")
    return key


def _escape_extra_key(key: str) -> bytes:
    """The API server lower-cases and percent-decodes the key, so every other byte goes as %XX."""
    return b"".join(bytes([b]) if b in _TOKEN_BYTES else b"%%%02X" % b for b in key.lower().encode())
