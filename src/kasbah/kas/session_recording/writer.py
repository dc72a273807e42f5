"""Writes recordings without ever making the loop wait: a thread writes, a few times a second, what has come together.

Each batch is synced before the next, so what was seen is on the disk within a second, and whole lines go in one write:
a process that is killed leaves files that end with a line.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Counter

from kasbah.errors import UserError

_log = structlog.get_logger()
BROKEN: Final = Counter(
    "kasbah_kas_session_recordings_broken",
    "Recordings that end before their session, by what went wrong",
    ["reason"],
)
_TOGETHER_S: Final = 0.2
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class RecordingDirectoryError(UserError):
    """The directory for session recordings cannot be used."""


class Recording:
    """One file; only the writer's thread touches the descriptor."""

    __slots__ = ("_descriptor", "failed", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.failed = False
        self._descriptor = -1

    def write(self, directory: Path, data: bytes) -> None:
        """All of it, and to the disk."""
        if self._descriptor < 0:
            self._descriptor = os.open(directory / self.name, _FLAGS, 0o600)
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RecordingWriter:
    """Takes lines of recordings; `run` writes them."""

    def __init__(self, directory: Path, max_waiting_bytes: int) -> None:
        """Make the directory.

        Raises:
            RecordingDirectoryError: it cannot be made or written to.
        """
        self._directory = directory
        self._max_bytes = max_waiting_bytes
        self._waiting: dict[Recording, bytearray] = {}
        self._ended: list[Recording] = []
        self._bytes = 0
        self._some = asyncio.Event()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError as error:
            raise RecordingDirectoryError(
                f"session recordings cannot be written to {directory}: {error.strerror}"
            ) from error

    def has_room(self, data: bytes) -> bool:
        """Whether so much more may wait."""
        return self._bytes + len(data) <= self._max_bytes

    def write(self, recording: Recording, data: bytes) -> None:
        """Write this soon."""
        self._waiting.setdefault(recording, bytearray()).extend(data)
        self._bytes += len(data)
        self._some.set()

    def end(self, recording: Recording) -> None:
        """Nothing more comes."""
        self._ended.append(recording)
        self._some.set()

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="session-recording") as thread:
            try:
                while True:
                    await self._some.wait()
                    await asyncio.shield(loop.run_in_executor(thread, self._write_out, *self._taken()))
                    await asyncio.sleep(_TOGETHER_S)  # so that a busy second is a few writes
            finally:
                await asyncio.shield(loop.run_in_executor(thread, self._write_out, *self._taken()))

    def _taken(self) -> tuple[dict[Recording, bytearray], list[Recording]]:
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        ended, self._ended = self._ended, []
        self._some.clear()
        return waiting, ended

    def _write_out(self, waiting: dict[Recording, bytearray], ended: list[Recording]) -> None:
        """In the thread."""
        for recording, data in waiting.items():
            if recording.failed:
                continue
            try:
                recording.write(self._directory, bytes(data))
            except OSError as error:
                recording.failed = True
                recording.close()
                BROKEN.labels("disk").inc()
                _log.error("session recording cannot be written", file=recording.name, error=error.strerror)
        for recording in ended:
            recording.close()
