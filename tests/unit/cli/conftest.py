"""What the command line's tests start from."""

from __future__ import annotations

import pytest

from tests.doubles.typed_terminal import TypedTerminal


@pytest.fixture
def kasbah(tmp_path):
    """Runs `kasbah …` as mia, logged in by the environment."""
    return TypedTerminal(tmp_path)
