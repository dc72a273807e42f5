"""The supervisor's book of what is alive and what is to be removed."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox import supervisor


def test_a_claimed_directory_is_alive_until_the_claim_is_closed(tmp_path: Path) -> None:
    with supervisor.claim(tmp_path):
        assert supervisor.alive(tmp_path)
    assert not supervisor.alive(tmp_path)


def test_a_sweep_removes_what_nobody_holds_and_leaves_the_rest(tmp_path: Path) -> None:
    held, left, newborn = (tmp_path / name for name in ("held", "left", "newborn"))
    for directory in (held, left, newborn):
        directory.mkdir()
    supervisor.claim(left).close()
    with supervisor.claim(held):
        assert supervisor.sweep(tmp_path) == ["left"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["held", "newborn"]


def test_noted_groups_are_removed_with_everything_below_them(tmp_path: Path) -> None:
    group, cluster = tmp_path / "group", tmp_path / "cluster"
    (group / "pods" / "one").mkdir(parents=True)
    cluster.mkdir()
    supervisor.note_leftover(cluster, "cgroups", str(group))
    supervisor.clean(cluster)
    assert list(tmp_path.iterdir()) == []


def test_a_process_is_among_the_children_of_its_parent() -> None:
    assert os.getpid() in supervisor.children(os.getppid())
