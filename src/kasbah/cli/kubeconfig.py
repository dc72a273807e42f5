"""Writes our cluster, user and context into a kubeconfig and leaves everything else in it as it was.

The file is edited as text where it is laid out as kubectl writes it, so comments, order and quoting stay; the result
is compared with what was meant before it replaces the file, and any other layout is written anew from its nodes (the
scalars as they stood). The file changes at once or not at all, and is readable by its owner only afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from kasbah.errors import Bug, UserError
from kasbah.kit import private_file

_SECTIONS: Final = ("clusters", "users", "contexts")
_NULLS: Final = ("", "~", "null")
"""A section without items, as kubectl and people write it."""
_STRING_TAG: Final = "tag:yaml.org,2002:str"
_NO_FOLDING: Final = 2**31 - 1
_MAX_BYTES: Final = 8 * 1024 * 1024
_EMPTY: Final = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one agent needs in a kubeconfig."""

    cluster_name: str
    user_name: str
    context_name: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]

    def items(self) -> Mapping[str, Mapping[str, Any]]:
        """The list item of each section."""
        context = {"cluster": self.cluster_name, "user": self.user_name}
        return {
            "clusters": {"name": self.cluster_name, "cluster": dict(self.cluster)},
            "users": {"name": self.user_name, "user": dict(self.user)},
            "contexts": {"name": self.context_name, "context": context},
        }


def choose_file(environ: Mapping[str, str], asked: Path | None) -> Path:
    """The file kubectl would change: the one asked for, the first of KUBECONFIG that exists, or the default."""
    if asked is not None:
        return asked.expanduser()
    listed = [Path(part) for part in environ.get("KUBECONFIG", "").split(":") if part]
    if listed:
        # kubectl reads the first definition of a name it finds, so a new one belongs into the first file there is.
        return next((path for path in listed if path.exists()), listed[-1])
    return Path(environ.get("HOME") or "~").expanduser() / ".kube" / "config"


def update(path: Path, entry: Entry, *, use_context: bool) -> None:
    """Merge the entry into the file, which is made when missing."""
    target = path.resolve()  # a link to a kubeconfig stays one
    old = _read(target)
    try:
        private_file.make_directory(target.parent)
        private_file.write(target, merge(old, entry, use_context=use_context).encode())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path} is larger than a kubeconfig may be; give another with --kubeconfig")
        return path.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def merge(text: str, entry: Entry, *, use_context: bool) -> str:
    """The kubeconfig's text with the entry in it.

    Raises:
        UserError: the text is not a kubeconfig; it is never overwritten then.
    """
    text = text if text.strip() else _EMPTY
    old = _parse(text)
    items = dict(entry.items())
    items["contexts"] = _keep_what_is_theirs(old, items["contexts"])
    current_context = entry.context_name if use_context else ""
    edited = _edit_text(text, items, current_context)
    if edited is not None and _parse_or_none(edited) == _merged(old, items, current_context):
        return edited
    return _edit_nodes(text, items, current_context)


def _parse(text: str) -> dict[str, Any]:
    try:
        # Every scalar as a text: we compare and keep, and never judge what `yes` or a date means.
        document = yaml.load(text, yaml.CBaseLoader)  # noqa: S506 - the base loader builds texts, lists and maps only
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(getattr(error, "problem", "") or "it is not YAML").split())
        raise UserError(
            f"the kubeconfig cannot be read ({reason}); mend it, or give another with --kubeconfig"
        ) from error
    if not isinstance(document, dict):
        raise UserError("the kubeconfig is not a mapping; mend it, or give another with --kubeconfig")
    for section in _SECTIONS:
        items = document.get(section, [])
        if items in _NULLS:
            items = document[section] = []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError(f"`{section}` of the kubeconfig is not a list of mappings; mend it first")
    return document


def _parse_or_none(text: str) -> dict[str, Any] | None:
    try:
        return _parse(text)
    except UserError:
        return None


def _keep_what_is_theirs(old: Mapping[str, Any], item: Mapping[str, Any]) -> Mapping[str, Any]:
    """A person may have set a namespace (or an extension) on our context: that stays."""
    found: dict[str, Any] = next(
        (known for known in old.get("contexts") or [] if known.get("name") == item["name"]), {}
    )
    kept = found.get("context")
    return {**item, "context": {**kept, **item["context"]} if isinstance(kept, dict) else item["context"]}


def _merged(
    old: Mapping[str, Any], items: Mapping[str, Mapping[str, Any]], current_context: str
) -> dict[str, Any]:
    """What the result must say, as data."""
    merged = dict(old)
    for section, item in items.items():
        known = list(merged.get(section) or [])
        place = next((i for i, other in enumerate(known) if other.get("name") == item["name"]), len(known))
        known[place : place + 1] = [_parse(_dump(item))]
        merged[section] = known
    if current_context:
        merged["current-context"] = current_context
    return merged


def _edit_text(text: str, items: Mapping[str, Mapping[str, Any]], current_context: str) -> str | None:
    """The text with three items and perhaps one line exchanged; None when it is laid out otherwise."""
    for section, item in items.items():
        changed = _edit_section(text, section, item)
        if changed is None:
            return None
        text = changed
    return _edit_current_context(text, current_context) if current_context else text


def _edit_section(text: str, section: str, item: Mapping[str, Any]) -> str | None:
    node = _value_of(_compose(text), section)
    if isinstance(node, yaml.SequenceNode) and node.value:
        return None if node.flow_style else _edit_items(text, node, item)
    fresh = f"{section}:\n{_block(item, 0)}"
    if node is None:
        return _with_newline(text) + fresh
    header = re.compile(rf"^{section}:[ ]*(?:\[[ ]*\]|null|~)?[ ]*$\n?", re.MULTILINE)
    return header.sub(lambda _: fresh, text, count=1)


def _edit_items(text: str, sequence: yaml.SequenceNode, item: Mapping[str, Any]) -> str:
    lines = _with_newline(text).splitlines(keepends=True)
    place = _place_of(sequence.value, item)
    if place < len(sequence.value):
        first, last = sequence.value[place].start_mark.line, _end_line(sequence.value[place])
    else:
        first = last = _end_line(sequence.value[-1])
    return "".join([*lines[:first], _block(item, sequence.start_mark.column), *lines[last:]])


def _end_line(node: yaml.Node) -> int:
    """The line after the node's last character; a block's own end mark already lies beyond its comments."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node.end_mark.line + (1 if node.end_mark.column else 0)


def _edit_current_context(text: str, name: str) -> str:
    line = f"current-context: {_dump([name]).strip().removeprefix('- ')}\n"
    header = re.compile(r"^current-context:.*$\n?", re.MULTILINE)
    return header.sub(lambda _: line, text, count=1) if header.search(text) else _with_newline(text) + line


def _edit_nodes(text: str, items: Mapping[str, Mapping[str, Any]], current_context: str) -> str:
    """The document written anew; comments are lost, all else keeps its order and its scalars as they stood."""
    root = _compose(text)
    for section, item in items.items():
        sequence = _section_node(root, section)
        place = _place_of(sequence.value, item)
        sequence.value[place : place + 1] = [_compose(_dump(item))]
    if current_context:
        _set_key(root, "current-context", yaml.ScalarNode(_STRING_TAG, current_context))
    return yaml.serialize(root, Dumper=yaml.SafeDumper)


def _section_node(root: yaml.MappingNode, section: str) -> yaml.SequenceNode:
    node = _value_of(root, section)
    if isinstance(node, yaml.SequenceNode):
        return node
    fresh = yaml.SequenceNode("tag:yaml.org,2002:seq", [], flow_style=False)
    _set_key(root, section, fresh)
    return fresh


def _set_key(root: yaml.MappingNode, name: str, value: yaml.Node) -> None:
    pairs = [(key, value if key.value == name else old) for key, old in root.value]
    known = any(key.value == name for key, _ in pairs)
    root.value = pairs if known else [*pairs, (yaml.ScalarNode(_STRING_TAG, name), value)]


def _place_of(nodes: Sequence[yaml.Node], item: Mapping[str, Any]) -> int:
    return next((i for i, node in enumerate(nodes) if _name_of(node) == item["name"]), len(nodes))


def _name_of(node: yaml.Node) -> str:
    found = _value_of(node, "name") if isinstance(node, yaml.MappingNode) else None
    return str(found.value) if isinstance(found, yaml.ScalarNode) else ""


def _value_of(node: yaml.MappingNode, name: str) -> yaml.Node | None:
    return next((value for key, value in node.value if key.value == name), None)


def _compose(text: str) -> yaml.MappingNode:
    node = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        raise Bug("a text that was a mapping is none any more")
    return node


def _dump(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=_NO_FOLDING)


def _block(item: Mapping[str, Any], indent: int) -> str:
    """The item of a block sequence whose dashes stand in that column."""
    first, *rest = _dump(item).splitlines(keepends=True)
    margin = " " * indent
    return "".join([f"{margin}- {first}", *(f"{margin}  {line}" for line in rest)])


def _with_newline(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"
