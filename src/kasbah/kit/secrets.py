"""Secrets: one type that cannot be printed by accident, and the tokens we hand out.

Tokens are random (at least 256 bits), so a plain SHA-256 is enough to keep them at rest; passwords are not our
business here. `scrub` is the last defence of logs and errors: it removes anything shaped like a credential of ours.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

_MASK: Final = "***"
# The token grammars of GitLab's world (glpat-, glagent-, ci:<agent>:, pat:<agent>:) and JWTs.
_CREDENTIAL = re.compile(
    r"(?:glpat|glagent|glcbt|glkas|gldt|glptt|glrt|glsoat)-[A-Za-z0-9_.-]+"
    r"|\b(?:ci|pat):\d+:\S+"
    r"|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
# Devise.friendly_token's alphabet: url-safe base64 with look-alikes replaced.
_LOOK_ALIKES = str.maketrans("lIO0", "sxyz")


class Secret:
    """A credential in memory; `repr`, `str` and format show a mask, `reveal` the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: only for the line that puts it on a connection or into a hash."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    def __str__(self) -> str:
        return _MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(
            self._value.encode(), other._value.encode()
        )

    def __hash__(self) -> int:
        return hash(self._value)


def generate_token(prefix: str, characters: int = 50) -> Secret:
    """A new random token: the prefix and that many url-safe characters (50 carry about 290 bits)."""
    text = ""
    while len(text) < characters:
        text += secrets.token_urlsafe(characters).translate(_LOOK_ALIKES)
    return Secret(prefix + text[:characters])


def fingerprint(secret: Secret) -> str:
    """SHA-256 of the value as hex: what is stored, and the key of every cache that depends on a credential."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def scrub(text: str) -> str:
    """The text with everything shaped like a credential masked."""
    return _CREDENTIAL.sub(_MASK, text)
