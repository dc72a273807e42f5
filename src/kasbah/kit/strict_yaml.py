"""The one reader of YAML and JSON that people or repositories give us.

What it reads means what it means to kubectl (`yaml_scalars`), and whatever is doubtful is refused with its line and
column: duplicate keys, tags of other types, keys that are not words or numbers. Nothing is composed first: the
events of libyaml are counted while they come, so a hundred thousand levels of nesting, a bomb of aliases or a file of
any size costs as much as the limits allow and no more. The values are built without recursion. Whoever must show people
their text again learns from the same pass on which line each entry begins.

Aliases share what they stand for; treat the result as read-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from kasbah.errors import UserError
from kasbah.kit import yaml_scalars

Value = Any
"""None, bool, int, float, str, or lists and dicts (with string keys) of these."""

_TAG: Final = "tag:yaml.org,2002:"
_SCALAR_TYPES: Final[dict[str, tuple[type, ...]]] = {
    _TAG + "null": (type(None),),
    _TAG + "bool": (bool,),
    _TAG + "int": (int,),
    _TAG + "float": (int, float),
}


class YamlError(UserError):
    """A text cannot be read as YAML.

    Attributes:
        line: where, counted from 1; 0 when the whole text is meant.
        column: where in the line, counted from 1.
    """

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {problem}" if line else problem)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one text may hold."""

    max_bytes: int = 1024 * 1024
    max_depth: int = 100
    max_nodes: int = 200_000
    """Aliases count as all that they stand for."""
    max_alias_bytes: int = 1024 * 1024
    """Of the words that aliases stand for, each counted as often as it is stood for."""
    max_anchors: int = 1_000
    max_documents: int = 1_000
    max_merge_sources: int = 100


DEFAULT: Final = Limits()


class Lines:
    """On which line each entry of the lists and mappings of one text begins."""

    def __init__(self) -> None:
        self._places: dict[int, tuple[Value, dict[str | int, int]]] = {}

    def of(self, holder: Value, entry: str | int) -> int:
        """The line, counted from 1, of a key or an index of this very list or mapping; 0 when it has no such entry."""
        _, places = self._places.get(id(holder), (None, {}))
        return places.get(entry, 0)

    def note(self, holder: Value, places: dict[str | int, int]) -> None:
        """Where a finished list or mapping has its entries; it is kept, so that no other one takes its place."""
        self._places[id(holder)] = (holder, places)

    def places_of(self, holder: Value) -> dict[str | int, int]:
        """All that is known of one list or mapping."""
        return self._places[id(holder)][1]


def read(text: bytes, limits: Limits = DEFAULT) -> Value:
    """The one document in the text; None when there is none.

    Raises:
        YamlError: it cannot be read, or there are several.
    """
    return _only(read_all(text, limits))


def read_with_lines(text: bytes, limits: Limits = DEFAULT) -> tuple[Value, Lines]:
    """As `read`, and where its entries stand.

    Raises:
        YamlError: it cannot be read, or there are several.
    """
    lines = Lines()
    return _only(_documents(text, limits, lines)), lines


def _only(documents: list[Value]) -> Value:
    if len(documents) > 1:
        raise YamlError(f"{len(documents)} documents; only one is expected")
    return documents[0] if documents else None


def read_all(text: bytes, limits: Limits = DEFAULT) -> list[Value]:
    """The documents in the text.

    Raises:
        YamlError: one of them cannot be read.
    """
    return _documents(text, limits, None)


def _documents(text: bytes, limits: Limits, lines: Lines | None) -> list[Value]:
    if len(text) > limits.max_bytes:
        raise YamlError(f"{len(text)} bytes; at most {limits.max_bytes} are taken")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        raise YamlError("this is not UTF-8", line, column) from error
    builder = _Builder(limits, lines)
    try:
        for event in yaml.parse(decoded, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlError(error.problem or "this is not YAML", line, column) from error
    except yaml.YAMLError as error:
        raise YamlError(f"this is not YAML: {str(error)[:256]}") from error
    return builder.documents


@dataclass(slots=True)
class _Weight:
    """How much a value holds, aliases counted as what they stand for."""

    nodes: int = 1
    size: int = 0
    """Bytes of its words."""

    def add(self, other: _Weight) -> None:
        self.nodes += other.nodes
        self.size += other.size


@dataclass(slots=True)
class _Frame:
    """A list or dict that is being filled."""

    value: list[Value] | dict[str, Value]
    anchor: str | None
    weight: _Weight
    key: str | None = None
    """The key whose value comes next; None when a key comes next, and always in lists."""
    merging: bool = False
    merged: dict[str, Value] | None = None
    line: int = 0
    """Where it begins itself."""
    places: dict[str | int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Builder:
    """Builds values from events, with a stack of its own."""

    limits: Limits
    lines: Lines | None
    documents: list[Value] = field(default_factory=list)
    _stack: list[_Frame] = field(default_factory=list)
    _anchors: dict[str, tuple[Value, _Weight]] = field(default_factory=dict)
    _anchor_count: int = 0
    _nodes: int = 0
    _alias_bytes: int = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.SequenceStartEvent():
                self._open(event, [], "seq")
            case yaml.MappingStartEvent():
                self._open(event, {}, "map")
            case yaml.CollectionEndEvent():
                self._close(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._document(event)
            case _:
                pass

    def _document(self, event: yaml.DocumentStartEvent) -> None:
        self._anchors.clear()
        if len(self.documents) >= self.limits.max_documents:
            raise _error(event, f"more than {self.limits.max_documents} documents")

    def _open(
        self, event: yaml.CollectionStartEvent, value: list[Value] | dict[str, Value], kind: str
    ) -> None:
        if event.tag not in {None, "!", _TAG + kind}:
            raise _error(event, f"the tag {_shown(event.tag)} is not allowed")
        if len(self._stack) >= self.limits.max_depth:
            raise _error(event, f"nested deeper than {self.limits.max_depth} levels")
        if self._expects_key():
            raise _error(event, "a key must be a word or a number")
        self._count(event, 1)
        self._stack.append(_Frame(value, self._anchor(event), _Weight(), line=_line(event)))

    def _close(self, event: yaml.Event) -> None:
        frame = self._stack.pop()
        if frame.merged:
            frame.value = {**frame.merged, **frame.value}  # type: ignore[dict-item]
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.value, frame.weight)
        if self.lines is not None:
            self.lines.note(frame.value, frame.places)
        self._place(event, frame.value, frame.weight, frame.line)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._count(event, 1)
        plain = event.implicit[0]
        frame = self._stack[-1] if self._stack else None
        if frame is not None and plain and event.value == "<<" and self._expects_key():
            self._begin_merge(event, frame)
            return
        value = _scalar_value(event, plain=plain)
        weight = _Weight(size=len(event.value.encode()))
        anchor = self._anchor(event)
        if anchor is not None:
            self._anchors[anchor] = (value, weight)
        self._place(event, value, weight, _line(event))

    def _alias(self, event: yaml.AliasEvent) -> None:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            raise _error(event, f"the alias *{_shown(event.anchor)} stands for nothing that is complete")
        value, weight = known
        self._count(event, weight.nodes)
        self._alias_bytes += weight.size
        if self._alias_bytes > self.limits.max_alias_bytes:
            raise _error(event, f"aliases stand for more than {self.limits.max_alias_bytes} bytes")
        self._place(event, value, weight, _line(event))

    def _place(self, event: yaml.Event, value: Value, weight: _Weight, line: int) -> None:
        """Put a finished value, which began on that line, where it belongs."""
        if not self._stack:
            self.documents.append(value)
            return
        frame = self._stack[-1]
        frame.weight.add(weight)
        if isinstance(frame.value, list):
            frame.places[len(frame.value)] = line
            frame.value.append(value)
        elif frame.merging:
            self._merge(event, frame, value)
        elif frame.key is None:
            frame.key = self._new_key(event, frame.value, value)
            frame.places[frame.key] = line
        else:
            frame.value[frame.key] = value
            frame.key = None

    def _new_key(self, event: yaml.Event, mapping: dict[str, Value], value: Value) -> str:
        key = _key(event, value)
        if key in mapping:
            raise _error(event, f"the key {_shown(key)} is there twice")
        return key

    def _begin_merge(self, event: yaml.Event, frame: _Frame) -> None:
        if frame.merged is not None:
            raise _error(event, "the key << is there twice")
        frame.weight.nodes += 1
        frame.merging = True
        frame.merged = {}

    def _merge(self, event: yaml.Event, frame: _Frame, value: Value) -> None:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise _error(event, "<< takes a mapping or a list of mappings")
        if len(sources) > self.limits.max_merge_sources:
            raise _error(event, f"<< takes at most {self.limits.max_merge_sources} mappings")
        frame.merged = {}
        places: dict[str | int, int] = {}
        for source in reversed(sources):
            frame.merged |= source
            if self.lines is not None:
                places |= self.lines.places_of(source)
        frame.places = places | frame.places
        frame.merging = False

    def _expects_key(self) -> bool:
        if not self._stack:
            return False
        frame = self._stack[-1]
        return isinstance(frame.value, dict) and frame.key is None and not frame.merging

    def _anchor(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> str | None:
        if event.anchor is not None:
            self._anchor_count += 1
            if self._anchor_count > self.limits.max_anchors:
                raise _error(event, f"more than {self.limits.max_anchors} anchors")
            self._anchors.pop(event.anchor, None)
        return event.anchor

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > self.limits.max_nodes:
            raise _error(
                event, f"more than {self.limits.max_nodes} values, aliases counted as what they stand for"
            )


def _scalar_value(event: yaml.ScalarEvent, *, plain: bool) -> Value:
    if event.tag in {"!", _TAG + "str"}:
        return event.value
    if event.tag is None:
        return _resolved(event) if plain else event.value
    wanted = _SCALAR_TYPES.get(event.tag)
    if wanted is None:
        raise _error(event, f"the tag {_shown(event.tag)} is not allowed")
    value = _resolved(event)
    if type(value) not in wanted:
        raise _error(event, f"{_shown(event.value)} is not what its tag says")
    return value


def _resolved(event: yaml.ScalarEvent) -> Value:
    try:
        return yaml_scalars.resolve(event.value)
    except ValueError as error:
        raise _error(event, str(error)) from error


def _key(event: yaml.Event, value: Value) -> str:
    """The key as kubectl spells it: `on` is "true", 1 is "1"."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    raise _error(event, "a key must be a word or a number")


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 0


def _error(event: yaml.Event, problem: str) -> YamlError:
    mark = event.start_mark
    return YamlError(problem, mark.line + 1, mark.column + 1) if mark else YamlError(problem)


def _shown(text: str | None) -> str:
    shown = "".join(character for character in (text or "")[:65] if character.isprintable())
    return shown if len(shown) <= 64 else shown[:64] + "…"
