"""The faults that the doctors name stand in their table, and the table has no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.sources import ROOT, modules

ROOMS = ("kasbah/kit/doctor/", "kasbah/agentk/doctor/", "kasbah/cli/doctor/")
NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
ROW = re.compile(r"^\| ((?:`[a-z0-9-]+`(?:, )?)+) \|", re.MULTILINE)


def named() -> set[str]:
    """The first argument of every fault, every warning, the first of a table's rows, and what is called `fault`."""
    return {
        name
        for module, tree in modules().items()
        if module.startswith(ROOMS)
        for node in ast.walk(tree)
        for name in _names(node)
    }


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == "FaultError":
            yield from _texts(node.args[0])
        yield from (text for word in node.keywords if word.arg == "warning" for text in _texts(word.value))
    if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
        rows = [row.elts for row in node.value.values if isinstance(row, ast.Tuple) and len(row.elts) == 3]
        yield from (text for row in rows for text in _texts(row[0]))
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id == "fault":
            yield from _texts(node.value)


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and NAME.fullmatch(part.value):
            yield part.value


def test_every_fault_is_in_the_table_and_none_besides():
    page = (ROOT / "docs/howto/doctor.md").read_text("utf-8").partition("\n## Faults\n")[2]
    told = {name for row in ROW.findall(page) for name in re.findall(r"`([a-z0-9-]+)`", row)}
    assert told == named()
