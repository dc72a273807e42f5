"""Records made of answers."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.kas.hub_client.records import RepositoryHead


@pytest.mark.parametrize("commit_id", ["main", "A" * 40, "a" * 41, "a" * 40 + "\n", ""])
def test_a_commit_id_is_hexadecimal(commit_id: str):
    document = msgspec.json.encode({"default_branch": "main", "commit_id": commit_id})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(document, type=RepositoryHead)
