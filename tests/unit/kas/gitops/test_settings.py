"""Defaults that are GitLab's."""

from __future__ import annotations

from kasbah.kas.gitops.settings import Settings


def test_bounds_are_gitlabs():
    settings = Settings()
    assert (settings.max_number_of_paths, settings.max_number_of_files) == (100, 1000)
    assert (settings.max_manifest_file_size, settings.max_total_manifest_file_size) == (5 << 20, 20 << 20)
    assert settings.poll_interval_s == 300
