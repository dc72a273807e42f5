"""The walls: who may import whom, and who may look at the process' surroundings (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, modules

SURROUNDINGS = {("os", "environ"), ("os", "getenv"), ("os", "environb"), ("sys", "argv")}


@pytest.mark.timeout(120)
def test_a_room_imports_only_rooms_below_it():
    lint_imports = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_only_the_command_line_and_main_modules_read_the_environment():
    readers = {
        name
        for name, tree in modules().items()
        if not name.startswith("kasbah/cli/") and not _is_entry_point(name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in SURROUNDINGS
    }
    assert not readers, "take the value as an argument, from a __main__ or from cli"


def test_what_composes_a_wing_is_imported_by_entry_points_only():
    composers = {"kasbah.agentk.app", "kasbah.kas.app", "kasbah.hub.app"}
    importers = {
        f"{name} imports {imported}"
        for name, tree in modules().items()
        if not _is_entry_point(name)
        for imported in _imports(tree)
        if imported in composers
    }
    assert not importers, "a feature gets what it needs as arguments from its app"


def _is_entry_point(name: str) -> bool:
    return name.endswith("/__main__.py")


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
