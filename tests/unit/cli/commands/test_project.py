"""`kasbah project …`."""

from __future__ import annotations


def test_a_project_is_created_in_its_group(kasbah):
    assert kasbah("project", "create", "ops/shop", "--description", "the shop", "-o", "name") == 0

    assert kasbah.out == "ops/shop\n"
    assert kasbah.gitlab.requests[-1][2] == {
        "name": "shop", "path": "shop", "visibility": "private", "description": "the shop", "namespace_id": 5,
    }  # fmt: skip


def test_a_project_without_a_group_is_the_persons_own(kasbah):
    assert kasbah("project", "create", "notes") == 0

    assert "namespace_id" not in kasbah.gitlab.requests[-1][2]


def test_a_missing_group_is_named_with_the_next_command(kasbah):
    assert kasbah("project", "create", "nix/shop") == 3
    assert "kasbah group create nix" in kasbah.err


def test_projects_are_listed_and_shown(kasbah):
    assert kasbah("project", "list", "--search", "fleet", "-o", "name") == 0
    assert kasbah.out == "ops/fleet\n"
    assert kasbah("project", "get", "ops/fleet") == 0
    assert "ops/fleet" in kasbah.out


def test_a_project_is_deleted_after_a_yes(kasbah):
    kasbah.typed = "y\n"

    assert kasbah("project", "delete", "ops/fleet") == 0
    assert "with everything in it? [y/N]" in kasbah.err
    assert kasbah.gitlab.projects == {}
