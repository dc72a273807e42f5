"""Every table of the hub, known to one `MetaData` by being imported here."""

from __future__ import annotations

from kasbah.hub.accounts import store as accounts
from kasbah.hub.agents import store as agents
from kasbah.hub.database import metadata
from kasbah.hub.groups import store as groups
from kasbah.hub.jobs import store as jobs
from kasbah.hub.projects import store as projects
from kasbah.hub.sessions import store as sessions
from kasbah.hub.usage import store as usage

STORES = (accounts, groups, projects, agents, jobs, sessions, usage)

__all__ = ["STORES", "metadata"]
