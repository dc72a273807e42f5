"""Request targets as a decoded path with a map of the query, and back.

Decoding loses how a byte was written and in which order the keys came. Kubernetes does not care about either; a path
whose meaning would change with its spelling is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote_to_bytes

from kasbah.errors import PeerError
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values

_PLAIN_IN_PATHS = "/:@!$&'()*+,;=~"
"""Beside letters, digits and `-._`: what RFC 3986 allows in a path as it stands."""


def decode_target(raw: bytes) -> tuple[str, dict[str, Values]]:
    """The path and the query of a target.

    Raises:
        PeerError: GitLab's wire cannot carry it.
    """
    path, _, query = raw.partition(b"?")
    decoded = unquote_to_bytes(path)
    if decoded.count(b"/") != path.count(b"/"):
        raise PeerError("the agent speaks GitLab's wire, which cannot carry a path with an encoded slash")
    if b"/." in decoded and not {b".", b".."}.isdisjoint(decoded.split(b"/")):
        raise PeerError(
            "the agent speaks GitLab's wire, which cannot carry a path with a '.' or '..' segment"
        )
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict") if query else ()
        decoded_path = decoded.decode()
    except ValueError as error:
        raise PeerError(
            "the agent speaks GitLab's wire, which cannot carry a target that is not UTF-8"
        ) from error
    parameters: dict[str, Values] = {}
    for key, value in pairs:
        parameters.setdefault(key, Values()).value.append(value)
    return decoded_path, parameters


def encode_target(path: str, query: Mapping[str, Values]) -> str:
    """The target of a decoded path and query; the keys in order."""
    target = quote(path, safe=_PLAIN_IN_PATHS)
    if not query:
        return target
    pairs = [f"{quote_plus(key)}={quote_plus(value)}" for key in sorted(query) for value in query[key].value]
    return f"{target}?{'&'.join(pairs)}" if pairs else target
