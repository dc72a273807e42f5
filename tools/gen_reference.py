#!/usr/bin/env python3
"""Write the tables of docs/reference that the source already holds: settings, metrics, errors.

    tools/gen_reference.py            write them anew
    tools/gen_reference.py --check    exit 1 and name the pages that are behind

Reads syntax trees, runs nothing of ours. A page is written by hand around its table; the table stands between
`<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
METRIC_KINDS = {"Counter": "_total", "Gauge": "", "Histogram": "", "Summary": "", "Info": "_info"}
FAULTS = {"UserError": "A person's input", "PeerError": "The other side", "Bug": "Ours"}
Modules = dict[str, ast.Module]


def read_modules() -> Modules:
    """Our hand-written modules by their dotted name."""
    paths = [path for path in sorted(SRC.rglob("*.py")) if "/wire/pb/" not in path.as_posix()]
    names = [".".join(path.relative_to(SRC).with_suffix("").parts) for path in paths]
    return {
        name.removesuffix(".__init__"): ast.parse(p.read_text("utf-8"))
        for name, p in zip(names, paths, strict=True)
    }


# Settings


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    type: str
    default: str
    meaning: str


def settings_tables(modules: Modules) -> str:
    """A heading and a table for each record whose name ends in Settings."""
    sections = []
    for module, tree in modules.items():
        for node in tree.body:
            if (
                isinstance(node, ast.ClassDef)
                and node.name.endswith("Settings")
                and (rows := list(_settings(node)))
            ):
                lines = [f"| `{s.name}` | `{s.type}` | {s.default} | {s.meaning} |" for s in rows]
                head = ["| setting | type | default | meaning |", "|---|---|---|---|"]
                sections.append("\n".join([f"### {_room(module)}: {node.name}", "", *head, *lines]))
    return "\n\n".join(sections)


def undocumented_settings(modules: Modules) -> list[str]:
    """The settings without a sentence under them."""
    return [
        f"{module}.{node.name}.{setting.name}"
        for module, tree in modules.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Settings")
        for setting in _settings(node)
        if not setting.meaning
    ]


def _settings(record: ast.ClassDef) -> Iterator[Setting]:
    for node, following in zip(record.body, [*record.body[1:], None], strict=True):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and not node.target.id.startswith("_")
        ):
            meaning = ""
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                meaning = _cell(str(following.value.value))
            default = _default(node.value)
            type_ = _cell(ast.unparse(node.annotation))
            if not type_.endswith("Settings"):  # a record that holds others: each has a table of its own
                yield Setting(node.target.id, type_, default, meaning)


def _default(value: ast.expr | None) -> str:
    if value is None:
        return "required"
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        factory = next((k.value for k in value.keywords if k.arg in {"default_factory", "default"}), None)
        return f"`{_cell(ast.unparse(factory))}`" if factory else "required"
    return f"`{_cell(ast.unparse(value))}`"


# Metrics


def metrics_table(modules: Modules) -> str:
    """Each metric as Prometheus shows it, with its labels, its help and the room that counts."""
    rows = sorted({row for module, tree in modules.items() for row in _metrics(module, tree)})
    return "\n".join(["| metric | kind | labels | meaning | room |", "|---|---|---|---|---|", *rows])


def _metrics(module: str, tree: ast.Module) -> Iterator[str]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        kind = ast.unparse(call.func).rpartition(".")[2]
        if kind not in METRIC_KINDS or not call.args or not isinstance(call.args[0], ast.Constant):
            continue
        name, *rest = [_constant(argument) for argument in call.args]
        keywords = {k.arg: _constant(k.value) for k in call.keywords}
        meaning = rest[0] if rest else keywords.get("documentation", "")
        labels = rest[1] if len(rest) > 1 else keywords.get("labelnames", ())
        shown = str(name).removesuffix(METRIC_KINDS[kind]) + METRIC_KINDS[kind]
        label_cell = ", ".join(f"`{label}`" for label in (labels if isinstance(labels, list | tuple) else ()))
        yield f"| `{shown}` | {kind.lower()} | {label_cell} | {_cell(str(meaning))} | {_room(module)} |"


def _constant(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


# Errors


def errors_tables(modules: Modules) -> str:
    """Our error classes, by whose fault they are."""
    ours = [(m, n) for m, t in modules.items() for n in ast.walk(t) if isinstance(n, ast.ClassDef)]
    ours.sort(key=lambda found: (found[1].name, found[0]))
    classes = {node.name: node for _, node in ours}
    sections = []
    for root, whose in FAULTS.items():
        rows = [
            f"| `{node.name}` | {_cell(_first_sentence(node))} | {_room(module)} |"
            for module, node in ours
            if node.name != root and _root(node.name, classes) == root
        ]
        sections.append(
            "\n".join([f"### {whose}: {root}", "", "| error | says | room |", "|---|---|---|", *rows])
        )
    return "\n\n".join(sections)


def _root(name: str, classes: dict[str, ast.ClassDef]) -> str | None:
    """The root of ours that a class comes from; a class of another library has none."""
    for _ in range(20):
        if name in FAULTS:
            return name
        if name not in classes:
            return None
        bases = [ast.unparse(base).rpartition(".")[2] for base in classes[name].bases]
        name = next((base for base in bases if base in FAULTS or base in classes), "")
    return None


def _first_sentence(node: ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").split("\n\n", 1)[0]


# Pages


PAGES: dict[str, tuple[str, Callable[[Modules], str]]] = {
    "settings": ("configuration.md", settings_tables),
    "metrics": ("metrics.md", metrics_table),
    "errors": ("errors.md", errors_tables),
}


def render(page: str, name: str, table: str) -> str:
    """The page with its table replaced."""
    between = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    text, count = between.subn(lambda match: f"{match[1]}{table}\n{match[2]}", page)
    if count != 1:
        sys.exit(f"the page lacks its lines <!-- begin {name} --> and <!-- end {name} -->")
    return text


def _room(module: str) -> str:
    return module.removeprefix("kasbah.").replace(".", "/")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    modules = read_modules()
    behind = [f"without a sentence: {name}" for name in undocumented_settings(modules)]
    for name, (file, table) in PAGES.items():
        path = ROOT / "docs" / "reference" / file
        page = path.read_text("utf-8")
        fresh = render(page, name, table(modules))
        if "--check" not in arguments:
            path.write_text(fresh, "utf-8")
        elif fresh != page:
            behind.append(f"behind the source: docs/reference/{file}; run tools/gen_reference.py")
    print("\n".join(behind))
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
