"""Writes lines to a file or to stdout without ever making the loop wait: a thread writes what has come together."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Counter

from kasbah.errors import PeerError
from kasbah.kas.access_log.settings import AccessLogSettings

_log = structlog.get_logger()
DROPPED: Final = Counter(
    "kasbah_kas_access_log_dropped_lines", "Lines of the access log that could not be written"
)
STDOUT: Final = "-"
_STDOUT_DESCRIPTOR: Final = 1
_TOGETHER_S: Final = 0.05
_LOOK_S: Final = 1.0
_PIPE_WAIT_S: Final = 1.0
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class AccessLogFileError(PeerError):
    """The access log's file cannot be opened."""


class LineWriter:
    """Takes lines; `run` writes them."""

    def __init__(self, settings: AccessLogSettings) -> None:
        """Open the file.

        Raises:
            AccessLogFileError: it cannot be opened.
        """
        self._path = settings.file
        self._max_bytes = settings.max_waiting_bytes
        self._lines: list[bytes] = []
        self._bytes = 0
        self._some = asyncio.Event()
        self._looked_at = 0.0
        self._failed = False
        try:
            self._file = self._open()
        except OSError as error:
            raise AccessLogFileError(f"cannot write the access log {self._path}: {error.strerror}") from error

    def write(self, line: bytes) -> None:
        """Write this line soon."""
        if self._bytes + len(line) > self._max_bytes:
            DROPPED.inc()
            return
        self._lines.append(line)
        self._bytes += len(line)
        self._some.set()

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="access-log") as thread:
            try:
                while True:
                    await self._some.wait()
                    await loop.run_in_executor(thread, self._write_out, *self._taken())
                    await asyncio.sleep(
                        _TOGETHER_S
                    )  # so that a busy second is a few writes and not thousands
            finally:
                await asyncio.shield(loop.run_in_executor(thread, self._write_out, *self._taken()))
                self._close()

    def _taken(self) -> tuple[bytes, int]:
        lines, self._lines, self._bytes = self._lines, [], 0
        self._some.clear()
        return b"".join(lines), len(lines)

    def _write_out(self, data: bytes, lines: int) -> None:
        """In the thread."""
        try:
            self._look()
            while data:
                data = data[self._write_some(data) :]
        except OSError as error:
            DROPPED.inc(lines)
            if not self._failed:
                _log.error("access log cannot be written", file=self._path, error=error.strerror)
            self._failed = True
        else:
            self._failed = False

    def _write_some(self, data: bytes) -> int:
        """To a pipe only what fits, for its reader may never come; how much that was."""
        if self._path != STDOUT:
            return os.write(self._file, data)
        if not select.select([], [self._file], [], _PIPE_WAIT_S)[1]:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return os.write(self._file, data[: select.PIPE_BUF])

    def _look(self) -> None:
        """Begin the file anew when somebody has moved it away."""
        now = time.monotonic()
        if self._path == STDOUT or now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        try:
            there = os.path.samestat(Path(self._path).stat(), os.fstat(self._file))
        except FileNotFoundError:
            there = False
        if not there:
            fresh = self._open()
            os.close(self._file)
            self._file = fresh

    def _open(self) -> int:
        return _STDOUT_DESCRIPTOR if self._path == STDOUT else os.open(self._path, _FLAGS, 0o600)

    def _close(self) -> None:
        if self._path != STDOUT:
            os.close(self._file)
