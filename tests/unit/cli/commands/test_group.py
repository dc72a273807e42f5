"""`kasbah group …`."""

from __future__ import annotations


def test_a_subgroup_is_created_in_its_parent(kasbah):
    assert kasbah("group", "create", "ops/europe") == 0

    assert kasbah.gitlab.requests[-1][2] == {"path": "europe", "name": "europe", "parent_id": 5}


def test_a_missing_parent_is_named_with_the_next_command(kasbah):
    assert kasbah("group", "create", "nix/europe") == 3
    assert "kasbah group create nix" in kasbah.err


def test_groups_are_listed(kasbah):
    assert kasbah("group", "list", "-o", "name") == 0
    assert kasbah.out == "ops\n"
