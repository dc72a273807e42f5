"""Defaults that other numbers lean on."""

from __future__ import annotations

from kasbah.kas.flux.settings import Settings


def test_a_call_of_the_most_projects_is_still_a_short_request():
    assert Settings().max_projects == 1000
