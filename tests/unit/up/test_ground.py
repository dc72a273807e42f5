"""What `kasbah up` keeps others out of; that addresses are taken first is in tests/integration/up."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.up.ground import own


def test_a_directory_is_made_private_and_has_one_owner(tmp_path: Path):
    data = tmp_path / "new"
    with own(data):
        assert data.stat().st_mode & 0o777 == 0o700
        with pytest.raises(UserError, match="another `kasbah up` uses"), own(data):
            pass
    with own(data):
        pass


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    owned = own(tmp_path / "file" / "data")
    with pytest.raises(UserError, match=r"--data .*file/data cannot be written: Not a directory"), owned:
        pass
