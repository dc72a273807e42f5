"""Who was found behind a credential, and on which terms they may use an agent.

Records alone: `directory` fills them from what the Git side answers, `authorizer` turns them into grants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kasbah.kas.hub_client import records
from kasbah.wire.identity import Identity

PersonAccessType = Literal["personal_access_token", "session_cookie"]
AccessType = Literal["ci_job", PersonAccessType]
Basis = records.Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One credential's leave to use one agent."""

    agent_id: int
    config_project_id: int
    access_type: AccessType
    user_id: int
    username: str
    job_id: int = 0
    """Of a CI job; 0 for people."""
    identity: Identity
    """Whom the cluster will see."""
    basis: Basis | None = None
    """The entry of the configuration that lets them in, as far as the Git side tells."""

    @property
    def principal(self) -> str:
        """Who is counted and limited: a person, apart from the jobs that run for them."""
        return f"ci_user:{self.user_id}" if self.access_type == "ci_job" else f"user:{self.user_id}"
