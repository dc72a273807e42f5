"""Judges one configuration file: every fault is named by its path, and a misspelt key by its nearest neighbour.

The file is walked along the descriptors of the messages. What comes out is GitLab's message, and the whole file as
JSON for the Git side, which also gets the keys that GitLab's messages have no number for. A blank or missing file is
an empty configuration.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kasbah.errors import UserError
from kasbah.kas.agent_configuration import rules, schema
from kasbah.kit import strict_yaml
from kasbah.wire.pb.gitlab.agent.agentcfg import agentcfg_pb2

DEFAULT_MAX_BYTES: Final = 128 * 1024
_MAX_PROBLEMS: Final = 10
_DURATION: Final = re.compile(r"-?[0-9]{1,11}(?:\.[0-9]{1,9})?s")
_INTEGER_TEXT: Final = re.compile(r"-?[0-9]{1,19}")
_INT64: Final = range(-(2**63), 2**63)
_WHO_MAY: Final = ("ci_access", "user_access")
"""The sections whose entries let somebody use the agent, so that people want to see them."""


class UnreadableConfigurationError(UserError):
    """The file is not YAML, or does not fit the schema."""


class InvalidConfigurationError(UserError):
    """The file fits the schema and breaks a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfiguration:
    """One good file."""

    file: agentcfg_pb2.ConfigurationFile
    document: Mapping[str, Any]
    """The whole file as JSON, keys without a value left out."""
    lines: Mapping[str, int]
    """Where each entry begins that lets somebody use the agent, by its path: `ci_access.projects[0]`."""


def read(text: bytes | None, max_bytes: int = DEFAULT_MAX_BYTES) -> ReadConfiguration:
    """Read the file; None stands for a file that is not there.

    Raises:
        UnreadableConfigurationError: YAML, types or keys are wrong.
        InvalidConfigurationError: a rule is broken.
    """
    try:
        document, lines = strict_yaml.read_with_lines(text or b"", strict_yaml.Limits(max_bytes=max_bytes))
    except strict_yaml.YamlError as error:
        raise UnreadableConfigurationError(str(error)) from error
    file = agentcfg_pb2.ConfigurationFile()
    walk = _Walk()
    section = walk.section(file, {} if document is None else document, "")
    if walk.misfits.count:
        raise UnreadableConfigurationError(walk.misfits.summary())
    if walk.broken_rules.count:
        raise InvalidConfigurationError(walk.broken_rules.summary())
    return ReadConfiguration(file=file, document=section, lines=dict(_entry_lines(document or {}, lines)))


def _entry_lines(document: Mapping[str, Any], lines: strict_yaml.Lines) -> Iterator[tuple[str, int]]:
    """The places of the entries of a good file: items of lists, and `instance`, which is an entry itself."""
    for name in _WHO_MAY:
        section = document.get(name) or {}
        for key, value in section.items():
            if isinstance(value, list):
                yield from ((f"{name}.{key}[{i}]", lines.of(value, i)) for i in range(len(value)))
            elif key == "instance" and value is not None:
                yield f"{name}.{key}", lines.of(section, key)


@dataclass(slots=True)
class _Problems:
    """The first few, in words, and how many there are: a hostile file may hold tens of thousands."""

    count: int = 0
    _shown: list[str] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        """Whether further ones are only counted."""
        return len(self._shown) >= _MAX_PROBLEMS

    def add(self, path: str, problem: str) -> None:
        self.count += 1
        if not self.enough:
            self._shown.append(f"{path}: {problem}" if path else problem)

    def summary(self) -> str:
        more = [f"and {self.count - len(self._shown)} more"] if self.count > len(self._shown) else []
        return "; ".join(self._shown + more)


@dataclass(slots=True)
class _Walk:
    """Fills messages from plain data and collects what does not fit."""

    misfits: _Problems = field(default_factory=_Problems)
    broken_rules: _Problems = field(default_factory=_Problems)

    def section(self, into: Message, value: Any, path: str) -> dict[str, Any]:
        """Fill one message, and the message of ours that completes it."""
        if not isinstance(value, dict):
            self.misfits.add(path, f"expected a mapping, got {_kind(value)}")
            return {}
        descriptor = cast("Descriptor", into.DESCRIPTOR)
        holders = {descriptor.full_name: into}
        if completion := schema.completion_of(descriptor):
            holders[completion.full_name] = message_factory.GetMessageClass(completion)()
        fields = schema.fields_of(descriptor)
        section: dict[str, Any] = {}
        for key, item in value.items():
            known = fields.get(key)
            if known is None:
                self.misfits.add(_join(path, key), "" if self.misfits.enough else _unknown(key, descriptor))
            elif item is not None:
                section[key] = self._value(holders[schema.home_of(known)], known, item, _join(path, key))
        self._check(descriptor, section, path)
        return section

    def _value(self, into: Message, known: FieldDescriptor, value: Any, path: str) -> Any:
        if schema.is_map(known):
            return self._map(into, known, value, path)
        if known.is_repeated:
            return self._list(into, known, value, path)
        if schema.is_message(known):
            inner = getattr(into, known.name)
            inner.SetInParent()
            return self.section(inner, value, path)
        scalar = self._scalar(known, value, path)
        if known.message_type is not None:
            _set_duration(getattr(into, known.name), scalar)
        elif scalar is not None:
            setattr(into, known.name, scalar)
        return scalar

    def _list(self, into: Message, known: FieldDescriptor, value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            self.misfits.add(path, f"expected a list, got {_kind(value)}")
            return []
        target = getattr(into, known.name)
        items = []
        for index, item in enumerate(value):
            place = f"{path}[{index}]"
            if schema.is_message(known):
                items.append(self.section(target.add(), item, place))
            elif (scalar := self._scalar(known, item, place)) is not None:
                target.append(scalar)
                items.append(scalar)
        return items

    def _map(self, into: Message, known: FieldDescriptor, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.misfits.add(path, f"expected a mapping, got {_kind(value)}")
            return {}
        values = schema.map_value(known)
        pairs = {key: self._scalar(values, item, _join(path, key)) for key, item in value.items()}
        getattr(into, known.name).update({key: item for key, item in pairs.items() if item is not None})
        return pairs

    def _scalar(self, known: FieldDescriptor, value: Any, path: str) -> Any:
        """The value if it fits, else None and a note."""
        expected = _misfit_of(known, value)
        if expected is None:
            return int(value) if known.cpp_type == FieldDescriptor.CPPTYPE_INT64 else value
        self.misfits.add(path, f"expected {expected}, got {_kind(value)}")
        return None

    def _check(self, descriptor: Descriptor, section: rules.Section, path: str) -> None:
        for choice in schema.choices_of(descriptor):
            given = [option.name for option in choice.fields if option.name in section]
            if len(given) > 1:
                self.misfits.add(path, f"only one of {', '.join(given)} can be given")
        for rule in rules.RULES.get(descriptor.name, ()):
            if problem := rule.broken(section):
                self.broken_rules.add(_join(path, rule.field) if rule.field else path, problem)


def _misfit_of(known: FieldDescriptor, value: Any) -> str | None:
    """What was expected instead of this value; None when it fits."""
    if known.message_type is not None:
        fits = isinstance(value, str) and _DURATION.fullmatch(value) is not None
        return None if fits else "a duration in seconds such as 300s"
    match known.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return None if isinstance(value, str) else "a string"
        case FieldDescriptor.CPPTYPE_BOOL:
            return None if isinstance(value, bool) else "true or false"
        case FieldDescriptor.CPPTYPE_ENUM:
            words = schema.words_of(known)
            return None if isinstance(value, str) and value in words else "one of " + ", ".join(words)
        case _:
            return None if _is_int64(value) else "a whole number"


def _is_int64(value: Any) -> bool:
    if isinstance(value, str) and _INTEGER_TEXT.fullmatch(value):
        value = int(value)
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT64


def _set_duration(duration: Any, text: str | None) -> None:
    if text is not None:
        duration.FromJsonString(text)


def _unknown(key: str, descriptor: Descriptor) -> str:
    known = list(schema.fields_of(descriptor))
    near = difflib.get_close_matches(key[:64], known, n=1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known here: {', '.join(known)}" if known else "unknown key; write {}"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "a mapping"


def _join(path: str, key: str) -> str:
    shown = "".join(character for character in key[:64] if character.isprintable())
    return f"{path}.{shown}" if path else shown
