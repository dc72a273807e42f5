"""`kasbah user …`."""

from __future__ import annotations


def test_a_person_is_created_with_their_user_name_for_a_name(kasbah):
    assert kasbah("user", "create", "bob", "--email", "bob@example.org", "--admin") == 0

    sent = kasbah.gitlab.requests[-1][2]
    assert (sent["username"], sent["name"], sent["admin"]) == ("bob", "bob", True)


def test_an_address_is_required(kasbah):
    assert kasbah("user", "create", "bob") == 2


def test_people_are_listed(kasbah):
    assert kasbah("user", "list", "-o", "name") == 0
    assert kasbah.out == "mia\n"
