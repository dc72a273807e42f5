"""Recorded sessions, played back: what the terminal saw, over both protocols, with the real kubectl."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sandbox
from tests.e2e.kubectl import run_pod, running
from tests.e2e.world import World, wait_for, world

pytestmark = pytest.mark.cluster
BOTH = pytest.mark.parametrize(
    "disable", ["", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS"], ids=["websocket", "spdy"]
)
SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Cast:
    """A recording."""

    header: dict[str, Any]
    events: list[tuple[float, str, str]]

    def said(self, kind: str) -> str:
        return "".join(text for _, which, text in self.events if which == kind)


class Studio:
    """A world whose sessions are recorded, and a pod."""

    def __init__(self, made: World, directory: Path) -> None:
        self.world, self.directory = made, directory
        self.pod = run_pod(made)

    def files(self) -> set[Path]:
        return set(self.directory.iterdir())

    def new(self, before: set[Path]) -> Path:
        """The one recording that was not there before."""
        wait_for(lambda: len(self.files() - before) == 1)
        (path,) = self.files() - before
        wait_for(lambda: b"\n" in path.read_bytes())
        return path

    def environment(self, disable: str) -> dict[str, str]:
        return self.world.environment | ({disable: "false"} if disable else {})


def read(path: Path) -> Cast:
    """What is in a recording, perhaps while it is written."""
    first, *rest = (json.loads(line) for line in path.read_text().split("\n")[:-1])
    assert first["version"] == 2
    events = [(at, kind, told) for at, kind, told in rest]
    assert [at for at, _, _ in events] == sorted(at for at, _, _ in events)
    return Cast(first, events)


@pytest.fixture(scope="module")
def studio(either_cluster: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    directory = tmp_path_factory.mktemp("recordings") / "casts"
    flags = ("--record-sessions", str(directory), "--record-input")
    with world(tmp_path_factory.mktemp("studio"), either_cluster, *flags) as made:
        yield Studio(made, directory)


@BOTH
def test_what_a_command_wrote_is_recorded(studio: Studio, disable: str):
    before = studio.files()
    script = "printf 'öut 1'; sleep 0.3; printf 'err 2' >&2; sleep 0.3; printf 'out 3'"
    done = subprocess.run(
        studio.world.kubectl_argv("exec", studio.pod, "--", "sh", "-c", script),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=studio.environment(disable),
        timeout=50,
        check=True,
    )
    path = studio.new(before)
    wait_for(lambda: read(path).said("o").endswith("out 3"))
    cast = read(path)
    assert cast.said("o") == done.stdout.decode() == "öut 1err 2out 3"
    assert 0.5 < cast.events[-1][0] - cast.events[0][0] < 20
    assert (cast.header["width"], cast.header["height"]) == (80, 24)
    assert cast.header["title"].startswith(
        f"root as the agent: agent {studio.world.agent_id}, default/{studio.pod}/"
    )
    assert cast.header["command"].startswith("sh -c ")
    assert abs(cast.header["timestamp"] - time.time()) < 60
    assert re.fullmatch(r"[0-9a-f]{32}\.cast", path.name)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700


@BOTH
def test_a_mebibyte_both_ways_is_recorded_whole(studio: Studio, disable: str):
    before = studio.files()
    sent = "".join(f"{number:07d}\n" for number in range(SIZE // 8))
    done = subprocess.run(
        studio.world.kubectl_argv("exec", "-i", studio.pod, "--", "cat"),
        input=sent.encode(),
        stdout=subprocess.PIPE,
        env=studio.environment(disable),
        timeout=50,
        check=True,
    )
    assert done.stdout.decode() == sent
    path = studio.new(before)
    wait_for(lambda: len(read(path).said("o")) >= len(sent))
    cast = read(path)
    assert cast.said("o") == sent
    assert cast.said("i") == sent
    assert "m" not in {kind for _, kind, _ in cast.events}


def _read_until(fd: int, words: str, seen: bytearray) -> None:
    deadline = time.monotonic() + 20
    while words.encode() not in seen:
        assert select.select([fd], [], [], max(0, deadline - time.monotonic()))[0], (words, seen)
        seen += os.read(fd, 4096)


@BOTH
def test_a_terminal_is_played_back_as_it_was_seen(studio: Studio, disable: str):
    before, seen = studio.files(), bytearray()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    with running(
        studio.world, "exec", "-it", studio.pod, "--", "sh", env=studio.environment(disable), **terminal
    ) as process:
        os.close(theirs)
        _read_until(ours, "$ " if os.getuid() else "# ", seen)  # a prompt: kubectl has the terminal now
        os.write(ours, b"stty size; printf '\\033[1mbold\\033[0m \\342\\202\\254'; echo first-$?\n")
        _read_until(ours, "first-0\r\n", seen)
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process.send_signal(signal.SIGWINCH)
        path = studio.new(before)
        wait_for(lambda: '"r", "120x40"' in path.read_text())
        os.write(ours, b"exit\n")
        _drain(ours, seen)
        process.wait(20)
    os.close(ours)
    wait_for(lambda: "exit" in read(path).said("i"))
    wait_for(lambda: read(path).said("o") == seen.decode(), told=lambda: f"{read(path).said('o')!r} {seen!r}")
    cast = read(path)
    sizes = [f"{cast.header['width']}x{cast.header['height']}"]
    sizes += [size for _, kind, size in cast.events if kind == "r"]
    assert sizes in (["100x30", "120x40"], ["80x24", "100x30", "120x40"])  # the prompt may come first
    assert "\x1b[1mbold\x1b[0m €" in cast.said("o")
    assert cast.said("i").endswith("exit\n")


def _drain(fd: int, seen: bytearray) -> None:
    """Until the other end is closed."""
    while True:
        try:
            data = os.read(fd, 4096)
        except OSError:  # Linux' way to say that nobody holds the other end
            return
        if not data:
            return
        seen += data


def test_a_session_is_not_changed_by_being_heard(studio: Studio):
    """Bytes that are no text at all come through as they are, and are recorded as far as they can be."""
    before, sent = studio.files(), os.urandom(300_000)
    done = subprocess.run(
        studio.world.kubectl_argv("exec", "-i", studio.pod, "--", "cat"),
        input=sent,
        stdout=subprocess.PIPE,
        env=studio.world.environment,
        timeout=50,
        check=True,
    )
    assert done.stdout == sent
    path = studio.new(before)
    wait_for(lambda: read(path).said("o") == sent.decode(errors="replace"))


def test_a_kas_that_is_killed_leaves_what_was_seen_a_second_before(studio: Studio):
    before = studio.files()
    with running(studio.world, "exec", studio.pod, "--", "sh", "-c", "echo before; sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"before\n"
        time.sleep(1)  # noqa: TID251 - what is promised
        studio.world.up.kill()
        process.wait(20)
    studio.world.up.start(first_line=True)
    studio.world.wait_for_agent()
    path = studio.new(before)
    assert path.read_text().endswith("\n")
    assert read(path).said("o") == "before\n"
