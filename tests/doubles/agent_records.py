"""Records of agents without a database."""

from __future__ import annotations

from typing import Any

from kasbah.hub.agents.model import Agent
from tests.doubles.hub_services import START


def make_agent(**changes: Any) -> Agent:
    values = {
        "id": 7,
        "project_id": 31,
        "name": "prod",
        "created_by_user_id": None,
        "created_at": START,
        "updated_at": START,
        "user_access": None,
    }
    return Agent(**{**values, **changes})
