"""One world a kind of node for all end-to-end tests that leave it whole, and fresh ones for those that break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sandbox
from tests.doubles.redis_server import RedisServer, running_server
from tests.e2e.world import World, world


@pytest.fixture(scope="session")
def either_world(
    either_cluster: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A whole Kasbah before each kind of cluster."""
    with world(tmp_path_factory.mktemp("world"), either_cluster) as made:
        yield made


@pytest.fixture(scope="module")
def fresh_world(control_plane: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A whole Kasbah that a module may kill parts of."""
    with world(tmp_path_factory.mktemp("fresh"), control_plane) as made:
        yield made


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """What several kas of a module share."""
    with running_server() as server:
        yield server
