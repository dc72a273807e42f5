"""Which repositories are looked after, and that nothing ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kasbah.gitrepo.settings import GitSettings
from kasbah.hub.repositories.housekeeping import Housekeeping


class Paths:
    """Notes who was looked at; nobody's repository exists."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[int] = []
        self.all_seen = asyncio.Event()

    def __call__(self, project_id: int) -> Path:
        self.asked.append(project_id)
        if project_id == 9:
            self.all_seen.set()
        return self.root / str(project_id)


async def look_after(housekeeping: Housekeeping, paths: Paths) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(housekeeping.run())
        await paths.all_seen.wait()
        running.cancel()


@pytest.mark.asyncio
async def test_each_repository_is_looked_at_once_however_often_it_was_pushed_to(tmp_path):
    paths = Paths(tmp_path)
    housekeeping = Housekeeping(paths, GitSettings())
    for project_id in (7, 8, 7, 7, 9):
        housekeeping.note_push(project_id)
    await look_after(housekeeping, paths)
    assert paths.asked == [7, 8, 9]


@pytest.mark.asyncio
async def test_a_git_that_cannot_start_or_fails_is_logged_and_the_next_one_is_looked_at(tmp_path):
    for project_id, executable in [(7, "/bin/false"), (8, str(tmp_path / "absent"))]:
        paths = Paths(tmp_path)
        (tmp_path / str(project_id) / "objects/pack").mkdir(parents=True)
        for number in range(50):
            (tmp_path / str(project_id) / f"objects/pack/{number}.pack").touch()
        housekeeping = Housekeeping(paths, GitSettings(executable=executable))
        housekeeping.note_push(project_id)
        housekeeping.note_push(9)
        await look_after(housekeeping, paths)
        assert paths.asked == [project_id, 9]
