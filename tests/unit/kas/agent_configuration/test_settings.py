"""GitLab's figures."""

from __future__ import annotations

from kasbah.kas.agent_configuration.settings import Settings


def test_the_defaults_are_gitlabs():
    settings = Settings()
    assert (settings.poll_interval_s, settings.max_configuration_file_size) == (300, 131072)
