"""What the architecture tests look at: the files of this repository, as text and as syntax trees; nothing is run."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
GENERATED = ("kasbah/wire/pb/", "kasbah/hub/migrations/versions/")


@functools.cache
def committed_files() -> list[Path]:
    """Every file git follows that is in the work tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def committed_text(*suffixes: str) -> dict[str, str]:
    """The committed files with these endings (all, if none is named) that are text, by their path in the repository."""
    texts = {}
    for path in committed_files():
        if not suffixes or path.suffix in suffixes:
            try:
                texts[path.relative_to(ROOT).as_posix()] = path.read_text("utf-8")
            except UnicodeDecodeError:
                continue
    return texts


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Our own hand-written modules, by their path below src."""
    found = {path.relative_to(SRC).as_posix(): path for path in sorted(SRC.rglob("*.py"))}
    return {
        name: ast.parse(path.read_text("utf-8"))
        for name, path in found.items()
        if not name.startswith(GENERATED)
    }
