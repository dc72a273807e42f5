"""Which paths a glob means: GitLab's, with `**` for any number of directories and `{a,b}` for either.

A pattern becomes one regular expression that never tries an earlier choice again (its parts are atomic, and the leftmost
place of a part that fits is always as good as any later one), so a hostile pattern costs about its length times the
path's. Directories whose name begins with a dot are never searched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kasbah.errors import UserError

MAX_ALTERNATIVES: Final = 32
"""What a pattern may grow to when its braces are written out."""
_META: Final = frozenset("*?[{\\")


class BadGlobError(UserError):
    """The pattern is none."""


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern, understood.

    Attributes:
        text: as it was given.
        directory: the directory that everything it means is below; empty for the top.
        depth: how many levels below that it reaches; None for all.
    """

    text: str
    directory: str
    depth: int | None
    _expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> Glob:
        """Understand the pattern; one slash at its beginning means nothing.

        Raises:
            BadGlobError: a bracket or brace is not closed, a backslash escapes nothing, or there are too many choices.
        """
        patterns = [_split(pattern) for pattern in _alternatives(text.removeprefix("/"))]
        expression = "|".join(_expression(segments) for segments in patterns)
        directory = _common_directory(patterns)
        depths = [None if "**" in segments else len(segments) - len(directory) for segments in patterns]
        depth = None if None in depths else max(depth or 0 for depth in depths)
        return cls(text, "/".join(directory), depth, re.compile(f"(?s:{expression})"))

    def means(self, path: str) -> bool:
        """Whether the path, without a slash at its beginning, is one of those meant."""
        return not is_hidden(path) and self._expression.fullmatch(path) is not None


def is_hidden(path: str) -> bool:
    """Whether a directory on the way has a name that begins with a dot."""
    return (path.startswith(".") and "/" in path) or "/." in path[: path.rfind("/") + 1]


def _alternatives(text: str) -> list[str]:
    """The patterns without braces that the braces stand for."""
    done: list[str] = []
    open_patterns = [text]
    while open_patterns:
        pattern = open_patterns.pop()
        braces = _first_braces(pattern)
        if braces is None:
            done.append(pattern)
        else:
            start, end, choices = braces
            open_patterns += [pattern[:start] + choice + pattern[end:] for choice in reversed(choices)]
        if len(done) + len(open_patterns) > MAX_ALTERNATIVES:
            raise BadGlobError(
                f"bad glob {text[:64]!r}: its braces stand for over {MAX_ALTERNATIVES} patterns"
            )
    return done


def _first_braces(pattern: str) -> tuple[int, int, list[str]] | None:
    """Where the first braces begin and end, and the choices between them."""
    start, depth, choices, at, begun = -1, 0, [], 0, 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 1
        elif character == "[":
            at = _end_of_class(pattern, at)
        elif character == "{":
            depth += 1
            if depth == 1:
                start, begun = at, at + 1
        elif character == "," and depth == 1:
            choices.append(pattern[begun:at])
            begun = at + 1
        elif character == "}" and depth:
            depth -= 1
            if not depth:
                return start, at + 1, [*choices, pattern[begun:at]]
        at += 1
    if depth:
        raise BadGlobError(f"bad glob {pattern[:64]!r}: a brace is not closed")
    return None


def _end_of_class(pattern: str, start: int) -> int:
    """Where the bracket that closes the class at `start` is."""
    at = start + 1
    if pattern[at : at + 1] in {"!", "^"}:
        at += 1
    first = at
    while at < len(pattern):
        if pattern[at] == "]" and at > first:
            return at
        at += 2 if pattern[at] == "\\" else 1
    raise BadGlobError(f"bad glob {pattern[:64]!r}: a bracket is not closed")


def _split(pattern: str) -> list[str]:
    """The pattern's segments; a slash within a class separates nothing."""
    segments, begun, at = [], 0, 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            at = _end_of_class(pattern, at)
        elif pattern[at] == "/":
            segments.append(pattern[begun:at])
            begun = at + 1
        at += 1
    return [*segments, pattern[begun:]]


def _common_directory(patterns: list[list[str]]) -> list[str]:
    """The literal directories with which every pattern begins."""
    common: list[str] = []
    for segments in zip(*(pattern[:-1] for pattern in patterns), strict=False):
        if len(set(segments)) > 1 or not segments[0] or _META.intersection(segments[0]):
            break
        common.append(segments[0])
    return common


def _expression(segments: list[str]) -> str:
    """Groups of segments between `**`; each is placed as far to the left as it goes, the last at the end."""
    groups: list[list[str]] = [[]]
    for segment in segments:
        if segment == "**":
            groups.append([])
        else:
            groups[-1].append(_segment(segment))
    if len(groups) == 1:
        return "/".join(groups[0])
    first, *middle, last = groups
    parts = ["".join(f"{segment}/" for segment in first)]
    parts += [f"(?>(?:[^/]+/)*?{''.join(f'{segment}/' for segment in group)})" for group in middle if group]
    return "".join(parts) + "(?:[^/]+/)*" + ("/".join(last) if last else "[^/]+")


def _segment(segment: str) -> str:
    """What lies between stars, each placed as far to the left as it goes, the last at the end."""
    pieces: list[list[str]] = [[]]
    at = 0
    while at < len(segment):
        character = segment[at]
        if character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append("[^/]")
        elif character == "[":
            end = _end_of_class(segment, at)
            pieces[-1].append(_class(segment[at + 1 : end]))
            at = end
        elif character == "\\":
            at += 1
            if at == len(segment):
                raise BadGlobError(f"bad glob {segment[:64]!r}: the backslash at its end escapes nothing")
            pieces[-1].append(re.escape(segment[at]))
        else:
            pieces[-1].append(re.escape(character))
        at += 1
    if len(pieces) == 1:
        return "".join(pieces[0])
    first, *middle, last = pieces
    return (
        "".join(first)
        + "".join(f"(?>[^/]*?{''.join(piece)})" for piece in middle if piece)
        + "[^/]*"
        + "".join(last)
    )


def _class(inside: str) -> str:
    """A bracket's content as a class of ours; it never means a slash."""
    negated = inside[:1] in {"!", "^"}
    members = []
    at = 1 if negated else 0
    while at < len(inside):
        low, at = _member(inside, at)
        if inside[at : at + 1] == "-" and at + 1 < len(inside):
            high, at = _member(inside, at + 1)
            if high < low:
                raise BadGlobError(f"bad glob: the range {low}-{high} is upside down")
            members.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            members.append(re.escape(low))
    return f"(?!/)[{'^' if negated else ''}{''.join(members)}]"


def _member(inside: str, at: int) -> tuple[str, int]:
    """The character here, which may be escaped, and where the next one is."""
    if inside[at] == "\\":
        at += 1
    return inside[at], at + 1
