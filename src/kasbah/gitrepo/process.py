"""Runs git as a server: one request in, one answer out, and nothing left behind.

`upload-pack` and `receive-pack` get an argument list, an environment of ours alone and a process group of their own.
Whatever ends the exchange early (the client leaves, a time limit, cancellation) ends the whole group: politely first,
so that git removes its quarantine and its locks, then by force. Both directions go through bounded pipes: nobody
reads what the other side has not taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import resource
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kasbah.errors import Bug
from kasbah.gitrepo.configuration import environment
from kasbah.gitrepo.errors import GitTimedOutError
from kasbah.gitrepo.settings import GitSettings

PIECE: Final = 64 << 10
_GRACE_S: Final = 2.0
_STDERR_KEPT: Final = 4096
_PROTOCOLS: Final = frozenset({"version=0", "version=1", "version=2"})


class GitService(enum.StrEnum):
    """The two services of smart HTTP, by the names that appear in URLs."""

    UPLOAD_PACK = "git-upload-pack"
    RECEIVE_PACK = "git-receive-pack"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitCommand:
    """What to run, and where."""

    service: GitService
    repository: Path
    advertise: bool = False
    """List the refs instead of answering a request."""
    protocol: str = ""
    """The client's Git-Protocol header; anything but a known version counts as absent."""

    def arguments(self, executable: str) -> list[str]:
        program = self.service.removeprefix("git-")
        strict = ["--strict"] if self.service is GitService.UPLOAD_PACK else []
        advertise = ["--advertise-refs"] if self.advertise else []
        return [executable, program, *strict, "--stateless-rpc", *advertise, str(self.repository)]

    def environment(self, settings: GitSettings) -> Mapping[str, str]:
        protocol = self.protocol if self.protocol in _PROTOCOLS else ""
        return environment(settings, self.repository, protocol=protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitExit:
    """How git ended."""

    code: int
    stderr: str
    """The last few kilobytes, for our logs; never for the client."""


class GitInput:
    """git's standard input. A git that stopped reading is no error: it has its answer ready."""

    def __init__(self, stdin: asyncio.StreamWriter) -> None:
        self._stdin = stdin
        self.open = True

    async def write(self, data: bytes) -> None:
        """Hand bytes to git, waiting until it takes them; dropped once git reads no more."""
        if not self.open:
            return
        try:
            self._stdin.write(data)
            await self._stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            self.open = False

    def close(self) -> None:
        self._stdin.close()


Feed = Callable[[GitInput], Coroutine[Any, Any, None]]
"""Writes a request into git."""
Take = Callable[[bytes], Awaitable[None]]
"""Gets git's output, piece by piece."""


async def run_git(
    command: GitCommand,
    settings: GitSettings,
    *,
    feed: Feed,
    take: Take,
) -> GitExit:
    """Run one git to its end.

    Args:
        command: what to run.
        settings: its limits.
        feed: writes the request and closes the input; may then wait for the client's leaving and raise. Cancelled
            when git has ended.
        take: gets the output piece by piece; git waits while it does.

    Raises:
        GitTimedOutError: the wall clock ran out.
        Exception: whatever `feed` or `take` raised first, bare; git is stopped by then.
    """
    process = await asyncio.create_subprocess_exec(
        *command.arguments(settings.executable),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=command.repository,
        env=command.environment(settings),
        start_new_session=True,
        limit=PIECE,
    )
    deadline = asyncio.timeout(settings.wall_s)
    try:
        _limit(process.pid, settings)
        async with deadline:
            return await _converse(process, feed, take)
    except BaseExceptionGroup as group:
        raise _first(group) from group
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise GitTimedOutError(f"git took longer than {settings.wall_s:g} s and was stopped") from error
    finally:
        await _stop(process, hear_out=command.service is GitService.RECEIVE_PACK)


async def run_to_end(
    arguments: list[str], repository: Path, settings: GitSettings, *, wall_s: float
) -> GitExit:
    """Run a git command that reads and prints nothing of interest: housekeeping."""
    process = await asyncio.create_subprocess_exec(
        settings.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=PIPE,
        cwd=repository,
        env=environment(settings, repository),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(wall_s):
            stderr = await _tail(_pipe(process.stderr))
            return GitExit(code=await process.wait(), stderr=stderr)
    except TimeoutError as error:
        raise GitTimedOutError(f"git {arguments[0]} took longer than {wall_s:g} s and was stopped") from error
    finally:
        await _stop(process, hear_out=False)


async def _converse(process: Process, feed: Feed, take: Take) -> GitExit:
    if process.stdin is None:
        raise Bug("git was started without a pipe to its input")
    git_input = GitInput(process.stdin)
    stdout = _pipe(process.stdout)
    async with asyncio.TaskGroup() as group:
        stderr = group.create_task(_tail(_pipe(process.stderr)))
        feeding = group.create_task(feed(git_input))
        while data := await stdout.read(PIECE):
            await take(data)
        code = await process.wait()
        text = await stderr
        feeding.cancel()
    return GitExit(code=code, stderr=text)


async def _tail(stderr: asyncio.StreamReader) -> str:
    kept = b""
    while data := await stderr.read(_STDERR_KEPT):
        kept = (kept + data)[-_STDERR_KEPT:]
    return kept.decode(errors="replace").strip()


async def _stop(process: Process, *, hear_out: bool) -> None:
    """End the process group if git has not ended by itself; takes a few seconds at most.

    A receive-pack is heard out: the end of its input makes it give up by itself, quarantine removed. A signal would
    leave the quarantine on disk (git skips that clean-up in signal handlers), so it comes only afterwards.
    """
    if process.returncode is not None:
        return
    try:
        if hear_out and process.stdin is not None:
            process.stdin.close()
            await _ends_within(process, _GRACE_S)
        if process.returncode is None:
            _signal(process.pid, signal.SIGTERM)
            await _ends_within(process, _GRACE_S)
    finally:
        if process.returncode is None:
            _signal(process.pid, signal.SIGKILL)
    await _drained(process)


async def _ends_within(process: Process, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _drained(process)


async def _drained(process: Process) -> None:
    # A pipe that nobody empties keeps asyncio from noticing the end.
    for pipe in (process.stdout, process.stderr):
        while pipe is not None and await pipe.read(PIECE):
            pass
    await process.wait()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # ended in the meantime
        os.killpg(pid, number)


def _limit(pid: int, settings: GitSettings) -> None:
    # Set from outside: code between fork and exec would have to be safe with our threads, and is not.
    limits = {
        resource.RLIMIT_CPU: settings.cpu_s,
        resource.RLIMIT_DATA: settings.memory_bytes,
        resource.RLIMIT_CORE: 0,
    }
    try:
        for limit, value in limits.items():
            resource.prlimit(pid, limit, (value, value))
    except ProcessLookupError:
        pass  # ended already; whatever it was, it is in its exit code


def _pipe(pipe: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if pipe is None:
        raise Bug("git was started without this pipe")
    return pipe


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
