"""Who may call a route: which scopes of a token open it, or kas alone, or anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What opens a route."""

    scopes: tuple[str, ...] = ()
    """Any one of these opens the route."""
    read_scopes: tuple[str, ...] = ()
    """Any one of these opens it for GET and HEAD."""
    any_scope: bool = False
    """Every active token, whatever its scopes."""
    anonymous: bool = False
    """Also without a credential; a bad one is refused all the same."""
    kas: bool = False
    """Only kas, by its JWT; no token of a person opens it."""
    job: bool = False
    """Only a CI job, by its token; the handler looks it up."""

    @property
    def named(self) -> tuple[str, ...]:
        """The scopes an `insufficient_scope` answer lists: GitLab names them all, whatever the method."""
        return (*self.scopes, *self.read_scopes)

    def admits(self, scopes: frozenset[str], method: str) -> bool:
        if self.any_scope or not scopes.isdisjoint(self.scopes):
            return True
        return method in {"GET", "HEAD"} and not scopes.isdisjoint(self.read_scopes)


API: Final = Access(scopes=("api",), read_scopes=("read_api",))
API_OR_NOBODY: Final = Access(scopes=("api",), read_scopes=("read_api",), anonymous=True)
READ_USER: Final = Access(scopes=("api",), read_scopes=("read_api", "read_user"))
SELF_ROTATE: Final = Access(scopes=("api", "self_rotate"))
ANY_TOKEN: Final = Access(any_scope=True)
KAS: Final = Access(kas=True)
JOB: Final = Access(job=True)
