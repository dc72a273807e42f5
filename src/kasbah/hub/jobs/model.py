"""CI jobs and their tokens: the record, what may be asked for, and until when a token is good. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from kasbah.gitrepo.branch_name import is_branch_name
from kasbah.hub.identity import User
from kasbah.hub.jobs.environment import Environment, Tier, name_problems
from kasbah.hub.projects.model import BRANCH_REF, Project

PREFIX: Final = "glcbt-"
CHARACTERS: Final = 50
DEFAULT_LIFE_S: Final = 60 * 60
"""GitLab's default timeout of a job."""
SHORTEST_LIFE_S: Final = 60
LONGEST_LIFE_S: Final = 24 * 60 * 60
"""GitLab's runners enforce a timeout; here only this date ends a job that nobody finishes."""
KEPT_DAYS: Final = 30
"""How long the record of an ended job stays."""

_TAG_REF: Final = "refs/tags/"
_LARGEST_ID: Final = 2**63 - 1

Status = Literal["running", "finished"]
State = Literal["running", "finished", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job of some CI, as it was when its token was made; the token's value is known to the job alone."""

    id: int
    project_id: int
    user_id: int
    """For whom it runs: it may do nothing that this person may not."""
    ref: str
    """In full: refs/heads/… or refs/tags/…"""
    protected: bool
    """Whether the ref was protected when the token was made; a decision asks again."""
    pipeline_id: int
    environment: Environment | None
    status: Status
    created_at: datetime
    expires_at: datetime
    finished_at: datetime | None

    def state(self, now: datetime) -> State:
        if self.status == "finished":
            return "finished"
        return "running" if now < self.expires_at else "expired"

    @property
    def is_tag(self) -> bool:
        return self.ref.startswith(_TAG_REF)

    @property
    def short_ref(self) -> str:
        return self.ref.removeprefix(BRANCH_REF).removeprefix(_TAG_REF)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What is asked for; `problems` says what is wrong with it."""

    ref: str
    environment: str | None = None
    tier: Tier | None = None
    """None: guessed from the environment's name."""
    pipeline_id: int | None = None
    """The CI's own number; None: the job's number stands for it."""
    lifetime: timedelta = timedelta(seconds=DEFAULT_LIFE_S)

    def problems(self) -> list[str]:
        """Sentences; empty when all is well."""
        found = []
        if not _is_ref(self.ref):
            found.append("Ref must be the full name of a branch or tag, such as refs/heads/main")
        if self.environment is not None:
            found += [f"Environment {problem}" for problem in name_problems(self.environment)]
        elif self.tier is not None:
            found.append("Tier cannot be set without an environment")
        if self.pipeline_id is not None and not 0 < self.pipeline_id <= _LARGEST_ID:
            found.append("Pipeline must be a positive number")
        if not SHORTEST_LIFE_S <= self.lifetime.total_seconds() <= LONGEST_LIFE_S:
            found.append(f"Expires in must be from {SHORTEST_LIFE_S} to {LONGEST_LIFE_S} seconds")
        return found


def _is_ref(ref: str) -> bool:
    start = next((start for start in (BRANCH_REF, _TAG_REF) if ref.startswith(start)), None)
    return start is not None and is_branch_name(ref.removeprefix(start))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallingJob:
    """A running job that showed its token, and all that is true of it at this moment."""

    job: Job
    project: Project
    user: User
    level: int
    """The user's role in the project."""
    protected: bool
    """Whether the ref is protected now."""
