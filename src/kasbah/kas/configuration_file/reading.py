"""Reads kas' configuration file into the records of `schema`, and tells all that is wrong with it at once.

A section that is null is absent. As in GitLab's file, which is protobuf in YAML's clothes, 0 and an empty text mean the
default wherever a key is not a duration. Keys nobody knows are refused by their path, with the nearest one known.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from kasbah.errors import UserError
from kasbah.kas.configuration_file import values
from kasbah.kas.configuration_file.schema import ConfigurationFile, Section
from kasbah.kit import strict_yaml

S = TypeVar("S", bound=Section)
_MOST_PROBLEMS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A file that was read."""

    file: ConfigurationFile
    without_effect: tuple[str, ...]
    """The keys it gives that govern nothing here, by their path."""


def read(path: Path) -> Reading:
    """Read the file.

    Raises:
        UserError: it cannot be read, is not YAML, or does not fit the schema; the text names every place.
    """
    try:
        document = strict_yaml.read(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except strict_yaml.YamlError as error:
        raise UserError(f"{path}: {error}") from error
    reader = _Reader()
    file = reader.section(ConfigurationFile, document, "")
    if file is None:
        raise UserError(_told(path, reader.problems))
    return Reading(file=file, without_effect=tuple(reader.without_effect))


def _told(path: Path, problems: list[str]) -> str:
    if len(problems) == 1:
        return f"{path}: {problems[0]}"
    lines = [f"{path} has {len(problems)} problems:", *problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        lines.append("…")
    return "\n  ".join(lines)


@dataclass
class _Reader:
    problems: list[str] = field(default_factory=list)
    without_effect: list[str] = field(default_factory=list)

    def section(self, kind: type[S], document: object, path: str) -> S | None:
        """The section; None when something in it is wrong, which is then among the problems."""
        if document is None:
            document = {}
        if not isinstance(document, dict):
            self.problems.append(
                f"{path or 'the file'}: expected keys with values, and not {_shown(document)}"
            )
            return None
        before = len(self.problems)
        hints = get_type_hints(kind, include_extras=True)
        given: dict[str, Any] = {}
        for key in document:
            if key not in hints:
                self.problems.append(f"{_join(path, key)}: unknown key{_hint(key, kind)}")
        for known in msgspec.structs.fields(kind):
            self._field(given, known, hints[known.name], document.get(known.name), path)
        if len(self.problems) > before:
            return None
        made = kind(**given)
        self.problems += [f"{_join(path, key)}: {problem}" for key, problem in made.problems()]
        return made if len(self.problems) == before else None

    def _field(
        self, given: dict[str, Any], known: msgspec.structs.FieldInfo, hint: Any, value: object, path: str
    ) -> None:
        """Put the key's value into `given`, when there is one."""
        place = _join(path, known.name)
        section = _section_in(hint)
        if section is not None:
            if value is not None or known.required:
                given[known.name] = self.section(section, value, place)
        elif not _is_unset(value):
            self._value(given, known.name, hint, value, place)
        elif known.required:
            self.problems.append(f"{place}: required")

    def _value(self, given: dict[str, Any], name: str, hint: Any, value: object, place: str) -> None:
        try:
            given[name] = msgspec.convert(value, hint, dec_hook=values.decode)
        except msgspec.ValidationError as error:
            fault, _, where = str(error).partition(" - at ")
            inner = where.strip("`").removeprefix("$")
            self.problems.append(f"{place}{inner}: {fault[0].lower()}{fault[1:]}")
            return
        if values.WITHOUT_EFFECT in get_args(hint):
            self.without_effect.append(place)


def _is_unset(value: object) -> bool:
    return value is None or (not isinstance(value, bool) and value in ("", 0))


def _section_in(hint: Any) -> type[Section] | None:
    """The kind of section a key holds; None when it holds a value."""
    choices = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    found = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, Section)]
    return found[0] if found else None


def _join(path: str, key: str) -> str:
    return f"{path}.{_shown(key)}" if path else _shown(key)


def _shown(value: object) -> str:
    """Something of the file in a message: short, and on one line."""
    text = "".join(character for character in str(value)[:65] if character.isprintable())
    return text if len(text) <= 64 else f"{text[:64]}…"


def _hint(key: str, kind: type[Section]) -> str:
    """The nearest key of this section, or else of any."""
    for known in (list(kind.__struct_fields__), sorted(set(_all_keys(ConfigurationFile)))):
        near = difflib.get_close_matches(key[:64], known, n=1)
        if near:
            return f"; did you mean {near[0]}?"
    return ""


def _all_keys(kind: type[Section]) -> Iterator[str]:
    for name, hint in get_type_hints(kind, include_extras=True).items():
        yield name
        section = _section_in(hint)
        if section is not None:
            yield from _all_keys(section)
