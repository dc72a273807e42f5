"""Defaults that other numbers lean on."""

from __future__ import annotations

from kasbah.kas.gitlab_access.settings import Settings


def test_no_single_agent_takes_all_there_is():
    settings = Settings()
    assert (
        settings.max_requests_per_agent * 2 < settings.max_requests < 100
    )  # what the HTTP client's pool has
