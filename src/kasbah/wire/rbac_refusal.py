"""Reads what an API server says when its authoriser refuses: who, verb, resource, place.

Its text is the only answer that knows how the request was judged, and parts of it come from whoever asked. So nothing is
searched for: the text must be, from its first letter, what the API server makes of the details it sends along.
"""

from __future__ import annotations

import re
import sys
from typing import Final

import msgspec

from kasbah.wire.status_body import StatusBody

_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_SENTENCE: Final = re.compile(
    rf"User {_QUOTED} cannot ([a-z:-]+) "
    rf"(?:path {_QUOTED}|resource {_QUOTED} in API group {_QUOTED} (?:in the namespace {_QUOTED}|at the cluster scope))"
    r"(?:: .*)?",
    re.DOTALL,
)
_NAME: Final = re.compile(rf"{_QUOTED} ")
_FORBIDDEN: Final = "is forbidden: "
_MARKUP: Final = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_ESCAPE: Final = re.compile(r'\\(?:([abfnrtv\\"])|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))', re.DOTALL)
_LETTERS: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}


class RefusedAction(msgspec.Struct, frozen=True, kw_only=True):
    """One action that the API server's authoriser did not allow."""

    user: str
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    """Empty at the cluster scope."""
    path: str = ""
    """Of a request that names no resource; then the others are empty."""

    @property
    def impersonates(self) -> bool:
        """The agent itself was refused: it may not act as somebody else. Newer API servers name the way they tried first."""
        return self.verb.partition("-on:")[0].partition(":")[0] == "impersonate"


def read(status: StatusBody) -> RefusedAction | None:
    """The action that was refused; None when it was something else than authorisation that refused."""
    reason = reason_of(status)
    found = _SENTENCE.fullmatch(reason) if reason is not None else None
    if found is None:
        return None
    try:
        user, path, resource, group, namespace = (_plain(found[n]) for n in (1, 3, 4, 5, 6))
    except ValueError:
        return None
    resource, _, subresource = resource.partition("/")
    return RefusedAction(
        user=user,
        verb=found[2],
        group=group,
        resource=resource,
        subresource=subresource,
        name=status.name,
        namespace=namespace,
        path=path,
    )


def reason_of(status: StatusBody) -> str | None:
    """What stands behind `pods "web" is forbidden: `; None when the text does not begin as the details have it."""
    subject = f"{status.kind}.{status.group}" if status.group else status.kind
    if not subject:
        return (
            status.message.removeprefix("forbidden: ") if status.message.startswith("forbidden: ") else None
        )
    if not status.message.startswith(f"{subject} "):
        return None
    rest = status.message[len(subject) + 1 :]
    if status.name:
        named = _NAME.match(rest)
        try:
            if named is None or _unquoted(named[1]) != status.name:
                return None
        except ValueError:
            return None
        rest = rest[named.end() :]
    return rest.removeprefix(_FORBIDDEN) if rest.startswith(_FORBIDDEN) else None


def _plain(quoted: str | None) -> str:
    """The text that was quoted, and then made harmless for browsers."""
    if quoted is None:
        return ""
    return _unquoted(re.sub("&(?:amp|lt|gt);", lambda found: _MARKUP[found[0]], quoted))


def _unquoted(text: str) -> str:
    """What Go's `%q` has quoted.

    Raises:
        ValueError: it was no text.
    """

    def character(found: re.Match[str]) -> str:
        letter, short, long, other = found.groups()
        if other is not None:
            raise ValueError("bytes that are no text")
        if letter:
            return _LETTERS[letter]
        code = int(short or long, 16)
        if code > sys.maxunicode:
            raise ValueError("a number that is no letter's")
        return chr(code)

    return _ESCAPE.sub(character, text)
