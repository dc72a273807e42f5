"""Environments a job deploys to: what one may be called, the slug of its name and the tier guessed from it. Pure.

Slug and tier are GitLab's, letter for letter: people write RBAC rules against them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

Tier = Literal["production", "staging", "testing", "development", "other"]

_LONGEST_NAME: Final = 255
_NAME = re.compile(r"[a-zA-Z0-9_${}. -](?:[a-zA-Z0-9_/${}. -]*[a-zA-Z0-9_${}. -])?")
_NAME_RULE: Final = (
    "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', and spaces, "
    "but it cannot start or end with '/'"
)
_LONGEST_SLUG: Final = 24
_SLUG_BEFORE_SUFFIX: Final = 17
_SUFFIX: Final = 6
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

# The first that is found anywhere in the name.
_GUESSES: Final[tuple[tuple[re.Pattern[str], Tier], ...]] = (
    (re.compile(r"dev|review|trunk", re.IGNORECASE), "development"),
    (re.compile(r"test|tst|int|ac(?:ce)?pt|qa|qc|control|quality", re.IGNORECASE), "testing"),
    (re.compile(r"sta?g|mode?l|pre|demo|non", re.IGNORECASE), "staging"),
    (re.compile(r"pro?d|live", re.IGNORECASE), "production"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a job deploys to."""

    name: str
    slug: str
    tier: Tier

    @classmethod
    def of(cls, name: str, tier: Tier | None) -> Environment:
        """The environment of this name; a tier that is not given is guessed."""
        return cls(name=name, slug=slug_of(name), tier=tier or guessed_tier(name))


def name_problems(name: str) -> list[str]:
    """Sentences about what is wrong with the name; empty when all is well."""
    if not name:
        return ["can't be blank"]
    if len(name) > _LONGEST_NAME:
        return [f"is too long (maximum is {_LONGEST_NAME} characters)"]
    return [] if _NAME.fullmatch(name) else [_NAME_RULE]


def slug_of(name: str) -> str:
    """At most 24 small letters, digits and dashes, a letter first; a suffix keeps changed names apart."""
    slug = re.sub(r"[^a-z0-9]", "-", name.lower())
    if not slug[:1].isalpha():
        slug = f"env-{slug}"
    slug = re.sub(r"-+", "-", slug)
    if len(slug) <= _LONGEST_SLUG and slug == name:
        return slug.removesuffix("-")
    return f"{slug[:_SLUG_BEFORE_SUFFIX].removesuffix('-')}-{_suffix(name)}"


def _suffix(name: str) -> str:
    """The last six digits, to the base 36, of the name's SHA-256."""
    number = int(hashlib.sha256(name.encode()).hexdigest(), 16)
    digits = ""
    for _ in range(_SUFFIX):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def guessed_tier(name: str) -> Tier:
    """What an environment of this name usually is."""
    return next((tier for pattern, tier in _GUESSES if pattern.search(name)), "other")
