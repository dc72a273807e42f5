"""What services refuse with."""

from __future__ import annotations

from kasbah.hub.errors import FieldsInvalidError, InsufficientScopeError, InvalidError, NotFoundError


def test_every_problem_is_in_the_message():
    assert str(InvalidError(["a is bad", "b is worse"])) == "a is bad; b is worse"
    assert str(FieldsInvalidError({"name": ["is bad", "is long"]})) == "name is bad; name is long"


def test_what_is_missing_is_named():
    assert str(NotFoundError("Project")) == "Project not found"
    assert str(NotFoundError()) == "not found"
    assert (
        str(InsufficientScopeError(["api", "read_api"])) == "the token needs one of the scopes api, read_api"
    )
