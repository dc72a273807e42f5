"""What answers about agents share: the entry of a configuration file that a decision rests on."""

from __future__ import annotations

import msgspec

from kasbah.hub.agents.model import Basis


class BasisEntity(msgspec.Struct, frozen=True, kw_only=True):
    """Where to look, for those who ask why: an addition of ours to GitLab's answers."""

    project_path: str
    file: str
    entry: str
    line: int

    @classmethod
    def of(cls, basis: Basis | None) -> BasisEntity | msgspec.UnsetType:
        if basis is None:
            return msgspec.UNSET
        return cls(project_path=basis.project_path, file=basis.file, entry=basis.entry, line=basis.line)
