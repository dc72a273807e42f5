"""What answers about agents share."""

from __future__ import annotations

import msgspec

from kasbah.hub.agents.entities import BasisEntity
from kasbah.hub.agents.model import Basis


def test_a_basis_is_shown_when_there_is_one():
    basis = Basis(project_path="ops/fleet", file="f", entry="implicit")
    shown = {"project_path": "ops/fleet", "file": "f", "entry": "implicit", "line": 0}
    assert msgspec.to_builtins(BasisEntity.of(basis)) == shown
    assert BasisEntity.of(None) is msgspec.UNSET
