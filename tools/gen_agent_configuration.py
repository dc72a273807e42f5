#!/usr/bin/env python3
"""Write the tables of docs/reference/agent-configuration.md from proto/ and the reader's rules.

    tools/gen_agent_configuration.py            write them anew
    tools/gen_agent_configuration.py --check    exit 1 when the page is behind

A key's meaning is the comment above its field, its type comes from the field, its rules from the table the reader
obeys. The page is written by hand around the part between the `begin keys` and `end keys` marks.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]

from kasbah.kas.agent_configuration import rules, schema

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "agent-configuration.md"
SOURCES = ROOT / "proto"
BEGIN, END = "<!-- begin keys -->", "<!-- end keys -->"
_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_INT64: "whole number",
}
_GIT_SIDE_ONLY = {"user_access"}
_FIELD_OF_MESSAGE = [4, 2]
"""Source paths are (message_type, number, field, number): the tags of the lists in descriptor.proto."""


def comments() -> dict[str, str]:
    """The comment above each field, by the field's full name."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "files"
        include = str(files("grpc_tools") / "_proto")
        sources = ["gitlab/agent/agentcfg/agentcfg.proto", "kasbah/agentcfg/agentcfg.proto"]
        options = [f"-I{SOURCES}", f"-I{include}", "--include_source_info", f"--descriptor_set_out={target}"]
        if protoc.main(["protoc", *options, *sources]) != 0:
            sys.exit("gen_agent_configuration: protoc failed; its words are above")
        found = FileDescriptorSet.FromString(target.read_bytes())
    result = {}
    for file in found.file:
        for location in file.source_code_info.location:
            path = list(location.path)
            if path[::2] == _FIELD_OF_MESSAGE and len(path) == 4:
                message = file.message_type[path[1]]
                name = f"{file.package}.{message.name}.{message.field[path[3]].name}"
                result[name] = " ".join(location.leading_comments.split())
    return result


def type_of(field: FieldDescriptor) -> str:
    """What to write for the key."""
    if schema.is_map(field):
        return "mapping of strings"
    if schema.is_message(field):
        name = "section"
    elif field.message_type is not None:
        name = "duration"
    elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        name = "word"
    else:
        name = _SCALARS[field.cpp_type]
    return f"list of {name}s" if field.is_repeated else name


def rules_of(descriptor: Descriptor, field: FieldDescriptor) -> str:
    """What must hold for the key beyond its type."""
    found = [rule.text for rule in rules.RULES.get(descriptor.name, ()) if rule.field == field.name]
    if field.enum_type is not None:
        found.append("one of " + ", ".join(schema.words_of(field)))
    inner = field.message_type
    if inner is not None and any(isinstance(rule, rules.Choice) for rule in rules.RULES.get(inner.name, ())):
        found.append("exactly one of its keys")
    return "; ".join(found)


def rows(descriptor: Descriptor, prefix: str, meanings: dict[str, str], *, git_side: bool) -> Iterator[str]:
    """A table row for each key below a section, depth first."""
    for name, field in schema.fields_of(descriptor).items():
        path = f"{prefix}.{name}" + ("[]" if field.is_repeated and not schema.is_map(field) else "")
        here = git_side or schema.home_of(field).startswith("kasbah.")
        reader = "Git side" if here else "both"
        meaning = meanings.get(field.full_name) or sys.exit(
            f"gen_agent_configuration: {field.full_name} has no comment"
        )
        yield f"| `{path}` | {type_of(field)} | {rules_of(descriptor, field)} | {reader} | {meaning} |"
        if schema.is_message(field) and not schema.is_map(field) and field.message_type is not None:
            yield from rows(field.message_type, path, meanings, git_side=here)


def tables() -> str:
    """A heading and a table for each section of the file."""
    meanings = comments()
    parts = []
    for name, field in schema.fields_of(schema.FILE).items():
        assert field.message_type is not None, "every top key is a section"  # noqa: S101 - a developer's tool
        lines = ["| key | type | must | read by | meaning |", "|---|---|---|---|---|"]
        lines += rows(field.message_type, name, meanings, git_side=name in _GIT_SIDE_ONLY)
        parts.append("\n".join([f"### {name}", "", meanings[field.full_name], "", *lines]))
    return "\n\n".join(parts)


def page() -> str:
    """The page with its tables written anew."""
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{tables()}\n{END}{tail}"


def main() -> None:
    """Write the page, or with `--check` compare."""
    fresh = page()
    if sys.argv[1:] == ["--check"]:
        if fresh != PAGE.read_text("utf-8"):
            sys.exit(f"{PAGE.relative_to(ROOT)} is behind: run tools/gen_agent_configuration.py")
        return
    PAGE.write_text(fresh, "utf-8")


if __name__ == "__main__":
    main()
