"""Building once, resuming, taking turns, and refusing with a sentence that helps; a script plays Go's part."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from sandbox import build
from sandbox.binaries import ALL
from sandbox.errors import CannotRunError, SandboxError

_GO = """\
#!/bin/sh
case "$1" in
  env) echo "{version}"; echo local ;;
  build)
    echo "$@" >> {log}
    sleep {seconds}
    while [ "$1" != -o ]; do shift; done
    echo built > "$2"
    exit {code} ;;
esac
"""
_TWO = [ALL["etcd"], ALL["kube-scheduler"]]


def _go(directory: Path, *, version: str = "go1.26.1", code: int = 0, seconds: float = 0) -> str:
    script = directory / "go"
    script.write_text(_GO.format(version=version, log=directory / "log", code=code, seconds=seconds))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def _builds(directory: Path) -> int:
    log = directory / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_each_binary_lands_under_the_hash_of_its_module(tmp_path: Path) -> None:
    found = build.ensure(_TWO, cache=tmp_path / "cache", go=_go(tmp_path))
    assert found["etcd"] == tmp_path / "cache" / ALL["etcd"].key() / "bin" / "etcd"
    assert found["etcd"].read_text() == "built\n"


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    build.ensure(_TWO, cache=tmp_path / "cache", go=_go(tmp_path))
    build.ensure(_TWO, cache=tmp_path / "cache", go=_go(tmp_path))
    assert _builds(tmp_path) == 2


def test_a_later_run_builds_only_what_an_interrupted_one_did_not_finish(tmp_path: Path) -> None:
    build.ensure(_TWO[:1], cache=tmp_path / "cache", go=_go(tmp_path))
    build.ensure(_TWO, cache=tmp_path / "cache", go=_go(tmp_path))
    assert _builds(tmp_path) == 2


def test_what_a_killed_run_left_unfinished_is_removed(tmp_path: Path) -> None:
    unfinished = tmp_path / "cache" / ALL["etcd"].key() / "bin" / ".building-1"
    unfinished.mkdir(parents=True)
    build.ensure(_TWO, cache=tmp_path / "cache", go=_go(tmp_path))
    assert not unfinished.exists()


def test_a_failed_build_leaves_nothing_in_place_and_shows_the_command(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"building etcd failed: .*go build -mod=mod"):
        build.ensure(_TWO, cache=tmp_path / "cache", go=_go(tmp_path, code=1))
    assert build.missing(_TWO, tmp_path / "cache") == _TWO


def test_a_missing_go_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=r"needs Go 1\.26 or newer.*go\.dev/doc/install"):
        build.ensure(_TWO, cache=tmp_path, go=str(tmp_path / "no-such-go"))


def test_a_go_that_is_too_old_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=r"is go1\.19\.8"):
        build.ensure(_TWO, cache=tmp_path, go=_go(tmp_path, version="go1.19.8"))


def test_progress_says_what_is_built_how_many_and_about_how_long(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    build.ensure(_TWO, cache=tmp_path / "cache", go=_go(tmp_path))
    said = capfd.readouterr().err
    assert "building 2 programs from source" in said
    assert "building kube-scheduler (2 of 2)" in said


def _ensure(cache: Path, go: str) -> None:
    build.ensure(_TWO, cache=cache, go=go)


def test_of_two_runs_at_once_the_second_waits_and_finds_the_work_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    go = _go(tmp_path, seconds=0.5)
    spawn = multiprocessing.get_context("spawn")
    runs = [spawn.Process(target=_ensure, args=(tmp_path / "cache", go)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert ([run.exitcode for run in runs], _builds(tmp_path)) == ([0, 0], 2)
    assert "is building the same programs: waiting for it" in capfd.readouterr().err
