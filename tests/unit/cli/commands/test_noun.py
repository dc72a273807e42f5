"""Verbs become commands under the names people type."""

from __future__ import annotations

from kasbah.cli.commands import noun


def list_():
    """List."""


def update_kubeconfig():
    """Update."""


def test_a_verbs_underscores_are_dashes_and_a_trailing_one_is_gone():
    app = noun.build("thing", list_, update_kubeconfig, noun.build("part", list_))

    assert {"list", "update-kubeconfig", "part"} <= set(app)
