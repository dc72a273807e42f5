"""What a user may be called."""

from __future__ import annotations

import pytest

from kasbah.hub.accounts.model import ROOT_SCOPES, NewUser


def problems(**changes: str) -> set[str]:
    values = {"username": "mia", "name": "Mia", "email": "mia@example.com", **changes}
    return set(NewUser(**values).problems())


@pytest.mark.parametrize("username", ["m", "mia", "Mia.B-2_", "0", "_x"])
def test_a_good_name_has_no_problems(username):
    assert problems(username=username) == set()


@pytest.mark.parametrize(
    "username", ["", "-mia", ".mia", "mia.", "a..b", "../x", "a/b", "a b", "é", "x" * 256, "mia\n"]
)
def test_a_name_that_is_no_path_is_refused(username):
    assert problems(username=username) == {"username"}


def test_every_problem_is_found():
    assert problems(username="", name=" ", email="x") == {"username", "name", "email"}
    assert problems(name="n" * 256, email="a@" + "b" * 300) == {"name", "email"}


def test_the_first_token_can_do_everything_a_person_needs():
    assert set(ROOT_SCOPES) == {
        "api",
        "read_api",
        "read_user",
        "read_repository",
        "write_repository",
        "k8s_proxy",
        "sudo",
        "admin_mode",
    }
