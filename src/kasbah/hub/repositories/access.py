"""Who may pull and push: GitLab's rules and words, as one pure decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from kasbah.errors import UserError
from kasbah.gitrepo.process import GitService
from kasbah.gitrepo.push_request import RefUpdate
from kasbah.hub.groups.model import Role
from kasbah.hub.projects.model import BRANCH_REF, ProtectedBranch, protections_of

PULL_SCOPES: Final = frozenset({"api", "read_repository", "write_repository"})
PUSH_SCOPES: Final = frozenset({"api", "write_repository"})


class CredentialsNeededError(UserError):
    """HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect or you're required to use a token instead of a password. If a token was provided, it was either incorrect, expired, or improperly scoped."""


class ProjectHiddenError(UserError):
    """The project you were looking for could not be found or you don't have permission to view it."""


class AccessRefusedError(UserError):
    """The caller may see the project but not do this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a caller towards a project."""

    scopes: AbstractSet[str] | None
    """Of the caller's token; None for an anonymous caller."""
    can_read: bool
    """A member, or the project is open to the caller."""
    level: int
    """The caller's role in the project, 0 for none."""
    private: bool
    archived: bool


def check(service: GitService, standing: Standing) -> None:
    """Raise unless the caller may use the service on the project."""
    if standing.scopes is None:
        _check_anonymous(service, standing)
    elif service is GitService.RECEIVE_PACK:
        _check_push(standing.scopes, standing)
    else:
        _check_pull(standing.scopes, standing)


def _check_anonymous(service: GitService, standing: Standing) -> None:
    # The same answer whether the project is private or absent: names must not leak.
    if service is GitService.RECEIVE_PACK or not standing.can_read:
        raise CredentialsNeededError


def _check_pull(scopes: AbstractSet[str], standing: Standing) -> None:
    if PULL_SCOPES.isdisjoint(scopes):
        raise CredentialsNeededError
    if not standing.can_read:
        raise ProjectHiddenError
    if standing.private and standing.level < Role.REPORTER:
        raise AccessRefusedError("You are not allowed to download code from this project.")


def _check_push(scopes: AbstractSet[str], standing: Standing) -> None:
    if PULL_SCOPES.isdisjoint(scopes):
        raise CredentialsNeededError
    if not standing.can_read:
        raise ProjectHiddenError
    if PUSH_SCOPES.isdisjoint(scopes):
        raise AccessRefusedError("You are not allowed to upload code.")
    if standing.archived or standing.level < Role.DEVELOPER:
        raise AccessRefusedError("You are not allowed to push code to this project.")


def refusal(
    updates: Iterable[RefUpdate], rules: Sequence[ProtectedBranch], *, level: int, is_admin: bool
) -> str:
    """Why a push that asks for these updates is refused whole, as GitLab says it; empty: the branches let it in.

    A protected branch takes pushes of those whom one of its rules lets push, and is never deleted by a push.
    """
    for update in updates:
        found = protections_of(update.ref.decode(errors="replace"), rules)
        if not found:
            continue
        if update.deletes:
            return "You are not allowed to delete protected branches from this project."
        if not any(rule.lets_push(level, is_admin=is_admin) for rule in found):
            return "You are not allowed to push code to protected branches on this project."
    return ""


def lets_push(branch: str, rules: Sequence[ProtectedBranch], *, level: int, is_admin: bool) -> bool:
    """Whether the rules let somebody with this role push to the branch, who may push at all."""
    found = protections_of(f"{BRANCH_REF}{branch}", rules)
    return not found or any(rule.lets_push(level, is_admin=is_admin) for rule in found)
