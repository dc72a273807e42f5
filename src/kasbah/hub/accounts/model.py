"""What is asked for when a user or a token is made, and its rules. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, get_args

Scope = Literal[
    "api",
    "read_api",
    "read_user",
    "read_repository",
    "write_repository",
    "k8s_proxy",
    "self_rotate",
    "sudo",
    "admin_mode",
]
"""Every scope a token may carry here."""

ROOT_SCOPES: Final = tuple(scope for scope in get_args(Scope) if scope != "self_rotate")
"""What the first administrator's token is good for."""

_USERNAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,253}[a-zA-Z0-9_-]|[a-zA-Z0-9_]")
_USERNAME_RULE = "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-' or '.', end with '.', or contain '..'."
_EMAIL = re.compile(r"[^@\s]{1,128}@[^@\s]{1,254}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """What is asked for; `problems` says what is wrong with it."""

    username: str
    name: str
    email: str
    is_admin: bool = False

    def problems(self) -> dict[str, list[str]]:
        """Sentences by field, GitLab's; empty when all is well."""
        found: dict[str, list[str]] = {}
        if not _USERNAME.fullmatch(self.username) or ".." in self.username:
            found["username"] = [_USERNAME_RULE]
        if not _EMAIL.fullmatch(self.email):
            found["email"] = ["is invalid"]
        if not self.name.strip():
            found["name"] = ["can't be blank"]
        elif len(self.name) > 255:
            found["name"] = ["is too long (maximum is 255 characters)"]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    name: str
    scopes: tuple[str, ...]
    expires_at: date | None
    description: str | None = None
