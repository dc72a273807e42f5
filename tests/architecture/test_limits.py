"""docs/reference/limits.md says the numbers that the source holds."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.sources import ROOT, modules

UNITS = {"KiB": 1024, "MiB": 1024**2, "s": 1, "days": 1, "bytes": 1, "": 1}
PAGE = (ROOT / "docs" / "reference" / "limits.md").read_text("utf-8")
ROWS = re.findall(r"^\| (.*?) \| ([\d,]+) ?(\w*).*? \| .* \| `([\w/.]+)` \|$", PAGE, re.MULTILINE)


def test_every_row_names_where_its_number_stands():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what")]
    assert len(ROWS) == len(rows) > 30


@pytest.mark.parametrize(("what", "number", "unit", "where"), ROWS, ids=[row[3] for row in ROWS])
def test_a_limit_is_what_the_page_says(what: str, number: str, unit: str, where: str):
    del what
    assert _value(where) == float(number.replace(",", "")) * UNITS[unit]


@pytest.mark.parametrize("metric", sorted(set(re.findall(r"`(kasbah_\w+)`", PAGE))))
def test_what_a_limit_is_seen_in_is_a_metric(metric: str):
    assert f"| `{metric}` |" in (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")


def _value(where: str) -> float:
    module, *path = where.split(".")
    tree = modules()[f"kasbah/{module}.py"]
    body = tree.body
    for part in path[:-1]:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == part)
    return _number(_assigned(body)[path[-1]], _assigned(tree.body))


def _number(node: ast.expr, names: dict[str, ast.expr]) -> float:
    """Numbers, names of numbers, and what one multiplies or shifts them with."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name(id=name):
            return _number(names[name], names)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _number(left, names) * _number(right, names)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _number(left, names) ** _number(right, names)
        case ast.BinOp(left=left, op=ast.LShift(), right=right):
            return _number(left, names) * 2 ** _number(right, names)
    raise ValueError(ast.unparse(node))


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found
