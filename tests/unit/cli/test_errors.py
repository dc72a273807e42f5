"""Each kind of failure has an exit code of its own."""

from __future__ import annotations

import pytest

from kasbah.cli import errors
from kasbah.errors import Bug, PeerError, UserError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("x"), 1),
        (PeerError("x"), 1),
        (Bug("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.NotFoundError("x"), 3),
        (errors.NotAllowedError("x"), 4),
        (errors.UnreachableError("x"), 5),
    ],
)
def test_the_exit_code_tells_a_script_what_went_wrong(error, code):
    assert errors.exit_code(error) == code
