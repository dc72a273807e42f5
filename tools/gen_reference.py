#!/usr/bin/env python3
"""Write the tables of docs/reference that the source already holds: settings, metrics, errors, kas' file.

    tools/gen_reference.py            write them anew
    tools/gen_reference.py --check    exit 1 and name the pages that are behind

Reads syntax trees, runs nothing of ours. A page is written by hand around its table; the table stands between
`<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

from __future__ import annotations

import ast
import math
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


# kas' configuration file

FILE_SCHEMA = "kasbah.kas.configuration_file.schema"
WORDS = {
    "str": "text",
    "Text1": "text, not empty",
    "Uri": "URL",
    "bool": "true or false",
    "Uint32": "whole number",
    "int": "whole number",
    "float": "number",
    "Duration": "duration",
    "PositiveDuration": "duration over 0s",
    "Network": "`tcp`, `tcp4`, `tcp6`, `unix`",
    "tuple[str, ...]": "list of texts",
    "tuple[Text1, ...]": "list of texts, not empty",
    "Mapping[str, Any]": "anything",
}


def kas_file_tables(modules: Modules) -> str:
    """A heading and a table for each section of the file, with the keys' whole paths."""
    sections = {n.name: n for n in modules[FILE_SCHEMA].body if isinstance(n, ast.ClassDef)}
    tables = []
    others = []
    for field in _fields(sections["ConfigurationFile"], sections):
        section = _section_of(field, sections)
        if section is None:
            others.append(_file_row(field, field.name))
            continue
        rows = list(_file_rows(section, field.name, sections))
        tables.append(_file_table(field.name, field.meaning, rows))
    return "\n\n".join([*tables, _file_table("Others", "", others)])


def _file_table(name: str, meaning: str, rows: list[str]) -> str:
    head = ["| key | value | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"### {name}", "", *([meaning, ""] if meaning else []), *head, *rows])


def _file_rows(section: ast.ClassDef, path: str, sections: dict[str, ast.ClassDef]) -> Iterator[str]:
    for field in _fields(section, sections):
        place = f"{path}.{field.name}"
        inner = _section_of(field, sections)
        if inner is None:
            yield _file_row(field, place)
        else:
            if field.meaning:
                yield f"| `{place}` | section | absent | {field.meaning} |"
            yield from _file_rows(inner, place, sections)


def _file_row(field: Setting, place: str) -> str:
    effect = "No effect here: " if "WITHOUT_EFFECT" in field.type else ""
    return (
        f"| `{place}` | {_file_type(field.type)} | {_file_default(field.default)} | {effect}{field.meaning} |"
    )


def _fields(section: ast.ClassDef, sections: dict[str, ast.ClassDef]) -> list[Setting]:
    """Its keys, those it inherits first, each as its own class says it."""
    found: dict[str, Setting] = {}
    for base in section.bases:
        if isinstance(base, ast.Name) and base.id in sections:
            found |= {field.name: field for field in _fields(sections[base.id], sections)}
    found |= {field.name: field for field in _settings(section)}
    return list(found.values())


def _section_of(field: Setting, sections: dict[str, ast.ClassDef]) -> ast.ClassDef | None:
    return sections.get(field.type.removesuffix(" \\| None"))


def _file_type(annotation: str) -> str:
    inner = re.sub(r"^Annotated\[(.*)\]$", r"\1", annotation)
    inner = re.sub(r", (?:msgspec\.Meta\(.*?\)|WITHOUT_EFFECT)(?=,|$)", "", inner)
    if inner.startswith("Literal["):
        words = [word for word in ast.literal_eval(inner.removeprefix("Literal")) if word]
        return ", ".join(f"`{word}`" for word in words)
    return WORDS[inner]


def _file_default(default: str) -> str:
    text = default.strip("`")
    duration = re.fullmatch(r"(?:Positive)?Duration\(([0-9.]+)\)", text)
    if duration:
        return f"`{duration[1]}s`"
    if text in {"''", "Uri('')", "()", "ABSENT"}:
        return ""
    if text in {"True", "False"}:
        return f"`{text.lower()}`"
    if re.fullmatch(r"[0-9* ]+", text):
        return f"`{math.prod(int(factor) for factor in text.split('*'))}`"
    return default if text == "required" else f"`{text.strip(chr(39))}`"


# Pages


PAGES: dict[str, tuple[str, Callable[[Modules], str]]] = {
    "settings": ("configuration.md", settings_tables),
    "metrics": ("metrics.md", metrics_table),
    "errors": ("errors.md", errors_tables),
    "kas' file": ("kas.md", kas_file_tables),
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
