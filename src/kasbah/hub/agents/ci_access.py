"""What an entry of `ci_access` says about one job: in, and on which terms, or why not. Pure.

Whatever is not understood means no: an entry with a mistake in it never lets more jobs in than it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kasbah.hub.projects.model import Project
from kasbah.hub.wildcards import matches

_WAYS: Final = ("agent", "ci_job", "impersonate")
_MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """What of a CI job decides which agents it may use."""

    project: Project
    ref: str
    protected: bool
    environment: str | None
    """The environment's name."""


def refusal(config: dict[str, Any], terms: JobTerms) -> str:
    """Why an entry with these terms does not let the job in; empty: it does."""
    return _bad_identity(config) or _wrong_environment(config, terms) or _wrong_branch(config, terms)


def normal(config: dict[str, Any]) -> dict[str, Any]:
    """The terms for kas: `agent:` without a value means the same as `agent: {}`."""
    access_as = config.get("access_as")
    if not access_as:
        return {name: value for name, value in config.items() if name != "access_as"}
    return {**config, "access_as": {way: value or {} for way, value in access_as.items()}}


def _bad_identity(config: dict[str, Any]) -> str:
    access_as = config.get("access_as")
    if access_as is None:
        return ""  # as the agent
    if not isinstance(access_as, dict) or len(access_as) != 1:
        return "`access_as` must name exactly one identity"
    way, value = next(iter(access_as.items()))
    if way not in _WAYS or not isinstance(value, dict | None):
        return f"`access_as` must be one of {', '.join(_WAYS)}"
    if way == "impersonate" and not _is_name((value or {}).get("username")):
        return "`access_as.impersonate` needs a username"
    return ""


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _wrong_environment(config: dict[str, Any], terms: JobTerms) -> str:
    patterns = config.get("environments")
    if patterns is None or patterns == []:
        return ""
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        return "`environments` must be a list of names and patterns"
    if terms.environment is None:
        return f"the job has no environment, and the agent is for {_listed(patterns)} only"
    if any(matches(pattern, terms.environment) for pattern in patterns):
        return ""
    return f"the job's environment {terms.environment} matches none of {_listed(patterns)}"


def _listed(patterns: list[str]) -> str:
    more = ", …" if len(patterns) > _MOST_NAMED else ""
    return ", ".join(patterns[:_MOST_NAMED]) + more


def _wrong_branch(config: dict[str, Any], terms: JobTerms) -> str:
    only = config.get("protected_branches_only")
    if terms.protected or only is None or only is False:
        return ""
    return f"the job's ref {terms.ref} is no protected branch, and the agent is for protected branches only"
