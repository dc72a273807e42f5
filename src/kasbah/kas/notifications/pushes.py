"""Pushes, from the Git side to the calls that wait for one.

A notice is a hint that a project's repository changed, never the change itself: waiters look for themselves. So
nothing is queued; any number of pushes between two looks is one notice, and a notice that comes during a look is
kept for the next wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol


class PushEvent(Protocol):
    """Refs of a project's repository changed."""

    @property
    def project_id(self) -> int: ...

    @property
    def full_path(self) -> str: ...


class PushWatch:
    """One waiter's view of one project.

    Attributes:
        noticed_at: when the last push was, in the loop's time: whoever looked later saw it.
    """

    def __init__(self) -> None:
        self._pushed = asyncio.Event()
        self.noticed_at = float("-inf")

    def notify(self) -> None:
        """There was a push."""
        self.noticed_at = asyncio.get_running_loop().time()
        self._pushed.set()

    async def wait(self, timeout_s: float) -> bool:
        """Until a push since the last wait, or the time is over; whether there was one."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._pushed.wait()
        except TimeoutError:
            return False
        self._pushed.clear()
        return True


class PathsWatch:
    """One waiter's view of several projects; holds at most one push of each."""

    def __init__(self) -> None:
        self._pushed: dict[str, PushEvent] = {}
        self._any = asyncio.Event()

    def notify(self, event: PushEvent) -> None:
        """There was a push."""
        self._pushed[event.full_path] = event
        self._any.set()

    async def next(self) -> PushEvent:
        """The newest push to the project that has waited longest."""
        await self._any.wait()
        event = self._pushed.pop(next(iter(self._pushed)))
        if not self._pushed:
            self._any.clear()
        return event


class GitPushes:
    """Fans push notices out; what the Git side calls, and what waiting calls subscribe to."""

    def __init__(self) -> None:
        self._watches: dict[int, set[PushWatch]] = {}
        self._path_watches: dict[str, set[PathsWatch]] = {}

    async def git_push(self, event: PushEvent) -> None:
        """Wake everybody who watches the project; never waits for them."""
        for watch in self._watches.get(event.project_id, ()):
            watch.notify()
        for paths_watch in self._path_watches.get(event.full_path, ()):
            paths_watch.notify(event)

    @contextmanager
    def watch(self, project_id: int) -> Iterator[PushWatch]:
        """Pushes to a project from now on, for the length of the block."""
        watch = PushWatch()
        self._watches.setdefault(project_id, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[project_id]
            watches.discard(watch)
            if not watches:
                del self._watches[project_id]

    @contextmanager
    def watch_paths(self, full_paths: Collection[str]) -> Iterator[PathsWatch]:
        """Pushes to these projects, by full path as it is stored, from now on, for the length of the block."""
        watch = PathsWatch()
        for full_path in full_paths:
            self._path_watches.setdefault(full_path, set()).add(watch)
        try:
            yield watch
        finally:
            for full_path in full_paths:
                watches = self._path_watches.get(full_path, set())
                watches.discard(watch)
                if not watches:
                    self._path_watches.pop(full_path, None)
