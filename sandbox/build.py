"""Builds the pinned binaries once into the user's cache.

Each binary is put in its place atomically when it is whole, so a run that is killed loses one binary at most and the next
run goes on from there. Two runs that start at once take turns: the second says that it waits, and finds the work done.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sandbox import places
from sandbox.binaries import Binary, Repair
from sandbox.errors import CannotRunError, SandboxError
from sandbox.progress import Progress, spell

_NEEDED_GO = "1.26"


def ensure(binaries: Sequence[Binary], *, cache: Path | None = None, go: str = "go") -> dict[str, Path]:
    """Where each of `binaries` lies, after building those that are missing.

    Raises:
        CannotRunError: Go is missing or too old, or a C compiler or library is missing.
        SandboxError: a build failed.
    """
    root = cache or places.cache()
    found = {binary.name: place(binary, root) for binary in binaries}
    if missing(binaries, root):
        _build_missing(binaries, root, go)
    return found


def place(binary: Binary, cache: Path) -> Path:
    """Where the finished binary lies or will lie."""
    return cache / binary.key() / "bin" / binary.name


def missing(binaries: Sequence[Binary], cache: Path) -> list[Binary]:
    return [binary for binary in binaries if not place(binary, cache).exists()]


def check_go(go: str = "go") -> None:
    """Refuses early, with what to install, when no usable Go is there.

    Raises:
        CannotRunError: Go is missing, too old, or forbidden to fetch the toolchain it needs.
    """
    if shutil.which(go) is None:
        message = (
            f"the sandbox builds Kubernetes from source and needs Go {_NEEDED_GO} or newer: "
            "install it (https://go.dev/doc/install) so that `go` is on the PATH"
        )
        raise CannotRunError(message)
    # GOTOOLCHAIN=auto lets an older go fetch what a go.mod names; only a pinned old one is hopeless.
    told = subprocess.run(
        [go, "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, text=True, check=False
    )
    version, toolchain = [*told.stdout.splitlines(), "", ""][:2]
    if _older(version, _NEEDED_GO) and toolchain == "local":
        message = (
            f"the sandbox needs Go {_NEEDED_GO} or newer; `{go}` is {version or 'of an unknown version'}"
        )
        raise CannotRunError(
            f"{message}: install a newer one (https://go.dev/doc/install) or set GOTOOLCHAIN=auto"
        )


def _older(version: str, needed: str) -> bool:
    found = re.match(r"go(\d+)\.(\d+)", version)
    wanted = tuple(int(part) for part in needed.split("."))
    return found is None or (int(found[1]), int(found[2])) < wanted


def _build_missing(binaries: Sequence[Binary], cache: Path, go: str) -> None:
    check_go(go)
    cache.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(cache / "build.lock"):
        for unfinished in cache.glob("*/bin/.building-*"):
            shutil.rmtree(unfinished, ignore_errors=True)  # of a killed run: nobody else builds now
        wanted = missing(binaries, cache)
        if not wanted:
            return
        progress = Progress(total=len(wanted), about_s=sum(binary.about_s for binary in wanted))
        progress.say(
            f"building {len(wanted)} programs from source into {cache}; this happens once and takes about "
            f"{spell(progress.about_s)} on two cores, much less when Go has them cached; it can be interrupted and resumed"
        )
        for binary in wanted:
            with progress.step(binary.name):
                _build(binary, place(binary, cache), go)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"sandbox: {_holder(lock)} is building the same programs: waiting for it",
                file=sys.stderr,
                flush=True,
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _holder(lock: IO[str]) -> str:
    lock.seek(0)
    pid = lock.read(20).strip()
    return f"process {pid}" if pid.isdigit() else "another process"


def _build(binary: Binary, target: Path, go: str) -> None:
    if binary.cgo:
        _check_c()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as work:
        # A copy, because -mod=mod writes: the files of record stay as they were proven.
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(binary.module_directory / name, Path(work, name))
        output = Path(work, "out")
        environment = os.environ | {"CGO_ENABLED": str(int(binary.cgo)), "GOWORK": "off"}
        for repair in binary.repairs:
            _mend(repair, Path(work), go)
        command = [go, *binary.build_arguments(output)]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            words = done.stderr.strip().splitlines()[-15:]
            raise SandboxError("\n".join([f"building {binary.name} failed: {' '.join(command)}", *words]))
        output.replace(target)


def missing_for_c() -> list[str]:
    """Debian's packages that runc is compiled with and this machine lacks."""
    lacks = [name for name in ("gcc", "pkg-config") if shutil.which(name) is None]
    probe = ["pkg-config", "--exists", "libseccomp"]
    if "pkg-config" in lacks or subprocess.run(probe, check=False).returncode:
        lacks.append("libseccomp-dev")
    return lacks


def _check_c() -> None:
    if lacks := missing_for_c():
        raise CannotRunError(f"{', '.join(lacks)} missing: run `tools/install-system-packages real-node`")


def _mend(repair: Repair, work: Path, go: str) -> None:
    """Makes go.mod take a mended copy of the module; the module cache stays untouched."""
    copy = work / "mended" / repair.module
    if not copy.exists():
        shutil.copytree(_module_source(repair.module, work, go), copy, copy_function=_writable_copy)
        with (work / "go.mod").open("a") as output:
            output.write(f"\nreplace {repair.module} => ./mended/{repair.module}\n")
    file = copy / repair.file
    text = file.read_text()
    if repair.old not in text:
        raise SandboxError(f"{repair.module} has changed: what mends its {repair.file} no longer fits")
    file.write_text(text.replace(repair.old, repair.new))


def _writable_copy(source: str, target: str) -> str:
    shutil.copyfile(source, target)  # the module cache is read-only, and copy() would keep it so
    return target


def _module_source(module: str, work: Path, go: str) -> Path:
    command = [go, "mod", "download", "-json", module]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return Path(json.loads(done.stdout)["Dir"])
