from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from kasbah.kit import open_files


@pytest.fixture
def soft_limit() -> Iterator[None]:
    """A low soft limit, as a shell sets it; put back afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_becomes_the_hard_one(soft_limit: None):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert open_files.raise_limit() == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
