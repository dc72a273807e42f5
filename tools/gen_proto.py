"""Generate `src/kasbah/wire/pb` from `proto/`: messages and their types, no gRPC code.

protoc names Python packages after folders of proto/; ours live below `kasbah.wire.pb`, so the imports between
generated files are rewritten. The package names inside the messages stay GitLab's.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "proto"
TARGET = ROOT / "src" / "kasbah" / "wire" / "pb"
PACKAGE = "kasbah.wire.pb"
_IMPORT = re.compile(r"^(from|import) ((?:gitlab|kasbah)\.[\w.]+)", re.MULTILINE)
_INIT = '"""Generated from proto/ by tools/gen_proto; do not edit."""\n'


def generate(target: Path) -> None:
    """Write the generated tree of every file below proto/ to `target`."""
    target.mkdir(parents=True, exist_ok=True)
    include = str(files("grpc_tools") / "_proto")
    sources = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    options = [f"-I{SOURCES}", f"-I{include}", f"--python_out={target}", f"--mypy_out=quiet:{target}"]
    if protoc.main(["protoc", *options, *sources]) != 0:
        sys.exit("gen_proto: protoc failed; its words are above")
    written = [path for path in sorted(target.rglob("*_pb2.py*")) if path.suffix != ".pyc"]
    for path in written:
        path.write_text(_IMPORT.sub(rf"\1 {PACKAGE}.\2", path.read_text()))
    for folder in {
        target,
        *(folder for path in written for folder in path.parents if target in folder.parents),
    }:
        (folder / "__init__.py").write_text(_INIT)


def contents(folder: Path) -> dict[str, str]:
    """Every generated file's text by its path."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*.py*"))
        if path.suffix != ".pyc"
    }


def stale() -> list[str]:
    """The files below wire/pb that differ from what proto/ gives."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        wanted, found = contents(Path(scratch)), contents(TARGET)
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def main() -> None:
    """Generate, or with `--check` compare."""
    parser = argparse.ArgumentParser(prog="gen_proto", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 when a committed file is stale"
    )
    if parser.parse_args().check:
        if names := stale():
            sys.exit("gen_proto: stale, run tools/gen_proto: " + ", ".join(names))
        return
    generate(TARGET)


if __name__ == "__main__":
    main()
