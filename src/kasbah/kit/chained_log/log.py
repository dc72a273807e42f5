"""The one writer of a chained log.

`append` has given its records to the operating system when it returns: a killed process loses none. A power cut may
lose what is not synced yet; `when_durable` tells when that is over, and one sync of the disk serves all who wait. The
state is touched by one thread, the loop's; another one only syncs. Whatever fails, the chain stays whole: what was half
written is cut off again at once, or set aside with a word about it in the next segment.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from kasbah.kit import private_file
from kasbah.kit.chained_log import chain, segments
from kasbah.kit.chained_log.chain import MAX_RECORD_BYTES, Head
from kasbah.kit.chained_log.errors import (
    LogBehindError,
    LogTakenError,
    LogUnreadableError,
    LogWriteError,
)
from kasbah.kit.chained_log.segments import Segment, SegmentOpening, SegmentRemoved, SetAside
from kasbah.kit.chained_log.settings import ChainedLogSettings

Then = Callable[[bool], None]
"""Told True when the records are on the disk, False when the disk refused."""
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
_REMOVED_AT_ONCE: Final = 64


class ChainedLog:
    """A log that is open for writing; `run` syncs it, `close` ends it."""

    def __init__(
        self,
        directory: Path,
        settings: ChainedLogSettings | None = None,
        *,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open it, or begin it when the directory is empty.

        Raises:
            LogTakenError: another process has it.
            LogUnreadableError: there is one of which nothing can be read.
            LogWriteError: the directory cannot be written.
        """
        self.directory = directory
        self._settings = settings or ChainedLogSettings()
        self._utc_now = utc_now
        self._file = -1
        self._size = 0
        self._pending_aside: list[SetAside] = []
        self._unsynced = 0
        self._sync_began = 0.0
        self._durable = 0
        self._retired: list[int] = []
        self._new_name = True
        self._waiting: deque[tuple[int, Then]] = deque()
        self._wanted = asyncio.Event()
        self._dirty = asyncio.Event()
        try:
            private_file.make_directory(directory)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogWriteError(f"cannot write the log in {directory}: {error.strerror}") from error
        try:
            self._take_lock()
            self._find_end()
            if self._file < 0:
                self._begin_segment()
        except OSError as error:
            self._close_files()
            raise LogWriteError(f"cannot write the log in {directory}: {error.strerror}") from error
        except (LogTakenError, LogUnreadableError):
            self._close_files()
            raise
        self._durable = self._head.sequence

    @property
    def head(self) -> Head:
        """Where the log stands."""
        return self._head

    @property
    def segment(self) -> int:
        """The number of the file that grows."""
        return self._number

    @property
    def unsynced_bytes(self) -> int:
        """What a power cut would lose."""
        return self._unsynced

    def append(self, records: Sequence[bytes]) -> int:
        """Write these JSON objects, all or none; the number of the last.

        Raises:
            LogBehindError: too much waits for the disk.
            LogWriteError: the disk is full or broken; the next try may succeed.
        """
        self._check(records)
        try:
            if self._file < 0 or self._size >= self._settings.segment_bytes:
                self._begin_segment()
            self._write(records)
        except OSError as error:
            raise LogWriteError(
                f"cannot write the log {self._path}: {error.strerror}; make room there, or give it another directory",
                retryable=True,
            ) from error
        return self._head.sequence

    def when_durable(self, sequence: int, then: Then) -> None:
        """Tell when this record is on the disk, in a later turn of the loop."""
        if sequence <= self._durable:
            asyncio.get_running_loop().call_soon(then, True)  # noqa: FBT003 - a callback's argument
            return
        self._waiting.append((sequence, then))
        self._wanted.set()

    async def run(self) -> None:
        """Sync until cancelled; `close` syncs what is left."""
        with ThreadPoolExecutor(1, thread_name_prefix="sync") as thread:
            try:
                while True:
                    await self._dirty.wait()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._settings.sync_interval_s):
                            await self._wanted.wait()
                    await self._sync(thread)
            finally:
                thread.shutdown()  # a sync that runs still needs its files

    def close(self) -> None:
        """Sync and close, when nobody runs it any more; blocking."""
        with contextlib.suppress(OSError):
            if self._file >= 0:
                _sync_files([*self._retired, self._file], self.directory)
        self._close_files()

    # Opening.

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LogTakenError(
                f"another process writes the log in {self.directory}; each needs a directory of its own"
            ) from error

    def _find_end(self) -> None:
        """Go on where the log ended, whatever lies behind."""
        files = segments.list_segments(self.directory)
        if not files:
            self._log_id = secrets.token_hex(16)
            self._number, self._head = 0, chain.genesis(self._log_id)
            return
        self._number = files[-1].number
        for segment in reversed(files):
            scan = segments.scan(segment)
            aside = segments.set_aside(segment, scan.good_bytes if scan else 0)
            if aside is not None:
                self._pending_aside.insert(0, aside)
            if scan is not None:
                self._log_id, self._head = scan.opening.log, scan.head
                if not self._pending_aside:
                    self._file = os.open(segment.path, _FLAGS)
                    self._size = scan.good_bytes
                return
        raise LogUnreadableError(f"nothing can be read of the log in {self.directory}: move it elsewhere")

    # Writing.

    @property
    def _path(self) -> Path:
        return segments.path_of(self.directory, self._number)

    def _check(self, records: Sequence[bytes]) -> None:
        if self._lock < 0:
            raise LogWriteError(f"the log in {self.directory} is closed")
        if max(map(len, records), default=0) > MAX_RECORD_BYTES:
            raise LogWriteError(f"a record is larger than {MAX_RECORD_BYTES} bytes")
        if self._unsynced > self._settings.max_unsynced_bytes:
            raise LogBehindError(
                f"{self._unsynced} bytes wait for the disk of {self.directory}", retryable=True
            )
        if self._sync_began and time.monotonic() - self._sync_began > self._settings.max_sync_s:
            raise LogBehindError(f"the disk of {self.directory} does not answer", retryable=True)

    def _write(self, records: Iterable[bytes]) -> None:
        head, lines = chain.extend(self._head, records)
        left = lines
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            self._take_back()
            raise
        self._head = head
        self._size += len(lines)
        self._unsynced += len(lines)
        self._dirty.set()

    def _take_back(self) -> None:
        """Cut off what a failed write left; when that fails too, set it aside."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._leave()

    def _leave(self) -> None:
        """Write no more into this file."""
        self._retired.append(self._file)
        self._file = -1
        self._pending_aside += self._left_behind(Segment(number=self._number, path=self._path), self._size)

    @staticmethod
    def _left_behind(segment: Segment, good_bytes: int) -> list[SetAside]:
        try:
            aside = segments.set_aside(segment, good_bytes)
        except OSError:
            return []  # the next opening finds it
        return [] if aside is None else [aside]

    def _begin_segment(self) -> None:
        path = segments.path_of(self.directory, self._number + 1)
        file = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file >= 0:
            self._retired.append(self._file)
        self._file, self._size = file, 0
        self._number += 1
        self._new_name = True
        opening = SegmentOpening(
            type=segments.SEGMENT,
            at=self._now(),
            log=self._log_id,
            segment=self._number,
            previous=self._head.digest.decode(),
            set_aside=tuple(self._pending_aside),
        )
        try:
            self._write([msgspec.json.encode(opening)])
        except OSError:
            self._give_up_segment(path)
            raise
        self._pending_aside.clear()
        self._remove_oldest()

    def _give_up_segment(self, path: Path) -> None:
        """There is no room even for its opening: without the file, the next try begins it anew."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
        with contextlib.suppress(OSError):
            path.unlink()
            self._number -= 1

    def _remove_oldest(self) -> None:
        """Keep within `keep_bytes`; the word about it comes first."""
        keep = self._settings.keep_bytes
        files = segments.list_segments(self.directory) if keep else []
        spare = sum(segment.path.stat().st_size for segment in files) + self._settings.segment_bytes - keep
        for oldest, after in list(itertools.pairwise(files))[:_REMOVED_AT_ONCE]:
            if spare <= 0 or after.number == self._number:
                return
            found = segments.read_opening(after)
            last_hash = found[0].previous if found else ""
            removed = SegmentRemoved(
                type=segments.REMOVED, at=self._now(), segment=oldest.number, last_hash=last_hash
            )
            self._write([msgspec.json.encode(removed)])
            spare -= oldest.path.stat().st_size
            oldest.path.unlink()

    def _now(self) -> str:
        return self._utc_now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # Syncing.

    async def _sync(self, thread: ThreadPoolExecutor) -> None:
        """Sync what is written by now, and tell those who wait for it."""
        self._dirty.clear()
        self._wanted.clear()
        upto, taken, retired = self._head.sequence, self._unsynced, self._retired
        directory = self.directory if self._new_name else None
        self._retired, self._new_name = [], False
        files = [*retired, self._file] if self._file >= 0 else [*retired]
        self._sync_began = time.monotonic()
        good = True
        try:
            await asyncio.get_running_loop().run_in_executor(thread, _sync_files, files, directory)
        except OSError:
            good = False
            self._sync_failed(files)
        finally:
            self._sync_began = 0.0
            self._retired = [*retired, *self._retired]
        for file in retired:
            self._retired.remove(file)
            os.close(file)
        self._unsynced -= taken
        if good:
            self._durable = upto
        while self._waiting and self._waiting[0][0] <= upto:
            self._waiting.popleft()[1](good)
        if self._waiting:
            self._wanted.set()

    def _sync_failed(self, files: Iterable[int]) -> None:
        """After a failed sync nobody knows what is on the disk: go on in another file."""
        if self._file >= 0 and self._file in files:
            self._leave()

    def _close_files(self) -> None:
        for file in (*self._retired, self._file, self._lock):
            if file >= 0:
                os.close(file)
        self._retired, self._file, self._lock = [], -1, -1


def _sync_files(files: Iterable[int], directory: Path | None) -> None:
    for file in files:
        os.fdatasync(file)
    if directory is None:
        return
    at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(at)
    finally:
        os.close(at)
