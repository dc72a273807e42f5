"""Limits."""

from __future__ import annotations

import pytest

from kasbah.errors import UserError
from kasbah.gitrepo.settings import GitSettings


def test_the_limits_are_those_of_the_threat_model():
    settings = GitSettings()
    assert settings.max_push_bytes == 200 << 20
    assert settings.max_refs == 50_000
    assert settings.max_request_bytes == 64 << 20


@pytest.mark.parametrize("name", ["max_push_bytes", "max_refs", "max_processes", "memory_bytes"])
def test_a_limit_of_nothing_is_refused_by_name(name):
    with pytest.raises(UserError, match=name):
        GitSettings(**{name: 0})
