"""`--keep`: the story is told by a process of its own session, which stays when the one in front of the person ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from demo.errors import StoryError
from demo.narrator import Narrator

_STOP_TIMEOUT_S: Final = 60
_DONE: Final = b"kept"


def tell_and_detach(arguments: Sequence[str]) -> int:
    """Let another process tell the story, and leave it when it is told; its exit code when it failed."""
    reading, writing = os.pipe()
    holder = subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments, "--yes", f"--held={writing}"],
        stdin=subprocess.DEVNULL,
        pass_fds=[writing],
        start_new_session=True,
    )
    os.close(writing)
    try:
        told = os.read(reading, len(_DONE))
    except KeyboardInterrupt:
        holder.terminate()
        holder.wait()
        raise
    if told == _DONE:
        holder.returncode = 0  # it lives on; nobody here waits for it
        return 0
    return holder.wait()


def keep(narrator: Narrator, what_to_try: str, told: int) -> None:
    """Say what to try, let the person's process go, and stay until stopped."""
    narrator.say("Everything is left up. Try:")
    narrator.show(what_to_try)
    narrator.say("Stop it with: .venv/bin/python -m demo --stop")
    note = _notes() / str(os.getpid())
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    os.write(told, _DONE)
    os.close(told)
    _forget_the_terminal()
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        note.unlink(missing_ok=True)


def stop() -> int:
    """Stop everything that `--keep` left up."""
    left_up = [int(note.name) for note in _notes().glob("*") if _is_alive(note)]
    for pid in left_up:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while stuck := [pid for pid in left_up if Path(f"/proc/{pid}").exists()]:
        if time.monotonic() > deadline:
            raise StoryError(f"the process {stuck[0]} does not end; look at it, then: kill -9 {stuck[0]}")
        time.sleep(0.05)  # noqa: TID251 - another process, not ours to wait for
    print("demo: stopped" if left_up else "demo: nothing is left up")
    return 0


def _is_alive(note: Path) -> bool:
    """Whether the process of a note still is a demo; the number may be somebody else's by now."""
    try:
        return b"demo" in Path(f"/proc/{note.name}/cmdline").read_bytes().split(b"\0")
    except OSError:
        note.unlink(missing_ok=True)
        return False


def _forget_the_terminal() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _notes() -> Path:
    """One empty file a demo that is left up, named after its process."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kasbah" / "demos"
