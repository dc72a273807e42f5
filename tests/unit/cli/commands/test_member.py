"""`kasbah member …`."""

from __future__ import annotations

import pytest


def test_a_member_is_added_with_a_role(kasbah):
    assert kasbah("member", "add", "mia", "--project", "ops/fleet", "--role", "maintainer") == 0

    assert "maintainer" in kasbah.out
    assert kasbah.gitlab.requests[-1][1:] == ("/projects/31/members", {"user_id": 4, "access_level": 40})


def test_a_group_has_members_too(kasbah):
    assert kasbah("member", "add", "mia", "-g", "ops") == 0
    assert kasbah.gitlab.requests[-1][1:] == ("/groups/5/members", {"user_id": 4, "access_level": 30})


def test_members_are_listed_with_their_roles(kasbah):
    kasbah("member", "add", "mia", "-p", "31")
    kasbah.gitlab.members[9] = {"id": 9, "username": "bob", "access_level": 15}

    assert kasbah("member", "list", "-p", "31") == 0
    assert "mia       developer" in kasbah.out
    assert "bob       15" in kasbah.out


def test_a_membership_is_taken_away_after_a_yes(kasbah):
    kasbah("member", "add", "mia", "-p", "31")

    assert kasbah("member", "remove", "mia", "-p", "31") == 2
    assert kasbah("member", "remove", "mia", "-p", "31", "--yes") == 0
    assert kasbah.gitlab.members == {}


@pytest.mark.parametrize("place", [[], ["-p", "31", "-g", "ops"]])
def test_a_project_or_a_group_is_named(kasbah, place):
    assert kasbah("member", "list", *place) == 2
    assert "name a project or a group" in kasbah.err


def test_a_stranger_cannot_become_a_member(kasbah):
    assert kasbah("member", "add", "nix", "-p", "31") == 3
