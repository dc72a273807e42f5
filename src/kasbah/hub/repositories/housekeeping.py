"""Looks after the repositories that were pushed to: one at a time, behind everybody's back.

A note about a push is a hint: forgetting one at a restart only delays the tidying to the next push.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from kasbah.gitrepo import housekeeping
from kasbah.gitrepo.errors import GitTimedOutError
from kasbah.gitrepo.settings import GitSettings

_log = structlog.get_logger()


class Housekeeping:
    """Which repositories deserve a look, each at most once."""

    def __init__(self, path_of: Callable[[int], Path], settings: GitSettings) -> None:
        self._path_of = path_of
        self._settings = settings
        self._noted: dict[int, None] = {}
        self._wake = asyncio.Event()

    def note_push(self, project_id: int) -> None:
        """This repository has just grown."""
        self._noted[project_id] = None
        self._wake.set()

    async def run(self) -> None:
        """Tidy what was noted, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._noted:
                project_id = next(iter(self._noted))
                del self._noted[project_id]
                await self._look_after(project_id)

    async def _look_after(self, project_id: int) -> None:
        path = self._path_of(project_id)
        try:
            if not await asyncio.to_thread(housekeeping.is_untidy_blocking, path):
                return
            ended = await housekeeping.tidy(path, self._settings)
        except (OSError, GitTimedOutError) as error:
            _log.warning("repository not tidied", project_id=project_id, error=str(error))
            return
        if ended.code:
            _log.warning("repository not tidied", project_id=project_id, error=ended.stderr)
        else:
            _log.info("repository tidied", project_id=project_id)
