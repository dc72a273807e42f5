"""A token goes to a file or stays in its object; a bad place is refused before a token is made."""

from __future__ import annotations

import stat

import pytest

from kasbah.cli.secret_file import SecretFile
from kasbah.errors import UserError


def test_the_token_goes_to_a_private_file_and_leaves_the_object(tmp_path):
    with SecretFile(tmp_path / "token") as file:
        rest = file.take({"id": 1, "token": "glagent-x"})

    assert rest == {"id": 1}
    assert (tmp_path / "token").read_text() == "glagent-x\n"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_without_a_file_the_object_keeps_its_token():
    with SecretFile(None) as file:
        assert file.take({"token": "glagent-x"}) == {"token": "glagent-x"}


@pytest.mark.parametrize("place", ["missing/token", "."])
def test_a_place_that_cannot_be_written_is_refused_first(tmp_path, place):
    with pytest.raises(UserError, match="nothing was created"), SecretFile(tmp_path / place):
        pytest.fail("nobody may come here")
