"""When a repository deserves repacking."""

from __future__ import annotations

import pytest

from kasbah.gitrepo import housekeeping


@pytest.mark.parametrize(
    ("packs", "refs", "untidy"), [(0, 0, False), (49, 999, False), (50, 0, True), (0, 1000, True)]
)
def test_many_packs_or_many_loose_refs_are_untidy(tmp_path, packs, refs, untidy):
    (tmp_path / "objects/pack").mkdir(parents=True)
    (tmp_path / "refs/heads").mkdir(parents=True)
    for number in range(packs):
        (tmp_path / f"objects/pack/pack-{number}.pack").touch()
        (tmp_path / f"objects/pack/pack-{number}.idx").touch()
    for number in range(refs):
        (tmp_path / f"refs/heads/{number}").touch()
    assert housekeeping.is_untidy_blocking(tmp_path) == untidy


def test_a_repository_that_is_gone_is_tidy(tmp_path):
    assert not housekeeping.is_untidy_blocking(tmp_path / "absent")
