"""Where the sandbox keeps things."""

from __future__ import annotations

from sandbox import places


def test_the_cache_is_the_sandboxs_own() -> None:
    assert places.cache().parts[-2:] == ("kasbah", "sandbox")


def test_running_clusters_are_nobody_elses_to_see() -> None:
    assert places.clusters().stat().st_mode & 0o077 == 0
