"""What a Kubernetes API request asks for, by the bytes of its target that are forwarded.

The grammar: what two readers could take for two different paths is refused, never
repaired. The classification follows the API server's own request info, so policy, audit and scheduling speak of the
request the cluster will see. Pure; knows no header and no credential.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from kasbah.errors import UserError

_MAX_SEGMENTS = 64
_MAX_SEGMENT_BYTES = 1024
_MAX_PAIRS = 100
_SEGMENT = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,=:@]|%[0-9A-Fa-f]{2})*")  # RFC 3986 pchar without ';'
_REFUSED_ESCAPE = re.compile(rb"%(?:2[fF]|5[cC]|3[bB]|[01][0-9A-Fa-f]|7[fF]|25[0-9A-Fa-f]{2})")
_VERBS: Final = {
    b"GET": "get",
    b"HEAD": "get",
    b"POST": "create",
    b"PUT": "update",
    b"PATCH": "patch",
    b"DELETE": "delete",
    b"OPTIONS": "options",
}
_NAME_TERM = re.compile(r"metadata\.name==?([^=\\/%]+)")
_OLD_PREFIXES: Final = frozenset({"watch", "proxy"})
_STREAMED_SUBRESOURCES: Final = frozenset({"exec", "attach", "portforward", "proxy"})
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})
# Ours alone: they carry a browser's credential and never reach a cluster.
_CREDENTIAL_KEYS: Final = frozenset({"gitlab-agent-id", "gitlab-csrf-token"})


class RefusedTargetError(UserError):
    """The target could be read in more than one way, or is longer than anything Kubernetes asks for."""


class ApiTarget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request's target, classified."""

    raw: bytes
    """Path and query as they are forwarded."""
    verb: str
    """The API server's verb: of a request that names no resource the method; `proxy` for what passes through to a pod,
    service or node."""
    group: str = ""
    version: str = ""
    resource: str = ""
    """Empty for a request that names no resource (discovery, health, metrics)."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    """Of the thing, or of the only one that a list or watch selects."""
    open_ended: bool = False
    """The answer may go on for ever: a watch, a followed log, an exec, anything that proxies."""
    may_upgrade: bool = False
    """The API server answers 101 on such targets; on no others is an upgrade passed on."""


def parse_target(method: bytes, raw: bytes) -> ApiTarget:
    """The target of a Kubernetes API request, which begins with `/`.

    Raises:
        RefusedTargetError: it breaks the grammar.
    """
    path, mark, query = raw.partition(b"?")
    segments = _segments(path)
    pairs = _pairs(query)
    if mark and any(key in _CREDENTIAL_KEYS for key, _ in pairs):
        query = _without_credentials(query)
        raw = path + b"?" + query if query else path
    return _classify(method, raw, segments, dict(reversed(pairs)))


def _segments(path: bytes) -> list[str]:
    if path[:1] != b"/":
        raise RefusedTargetError("the path must start with '/'")
    segments = path[1:].split(b"/")
    if len(segments) > _MAX_SEGMENTS:
        raise RefusedTargetError(f"the path has over {_MAX_SEGMENTS} segments")
    if b"" in segments[:-1]:
        raise RefusedTargetError("the path has an empty segment ('//')")
    return [_segment(segment) for segment in segments]


def _segment(segment: bytes) -> str:
    if len(segment) > _MAX_SEGMENT_BYTES:
        raise RefusedTargetError(f"a segment of the path is over {_MAX_SEGMENT_BYTES} bytes")
    if not _SEGMENT.fullmatch(segment):
        raise RefusedTargetError("the path holds a character that must be percent-encoded")
    if _REFUSED_ESCAPE.search(segment):
        raise RefusedTargetError("the path holds an encoded slash, backslash, semicolon, percent or control")
    decoded = unquote_to_bytes(segment)
    if decoded in {b".", b".."}:
        raise RefusedTargetError("the path holds a '.' or '..' segment")
    try:
        return decoded.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedTargetError("the path is not UTF-8") from error


def _pairs(query: bytes) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_PAIRS)
    except ValueError as error:
        raise RefusedTargetError(f"the query has over {_MAX_PAIRS} parameters") from error


def _without_credentials(query: bytes) -> bytes:
    kept = [
        pair
        for pair in query.split(b"&")
        if not any(key in _CREDENTIAL_KEYS for key, _ in parse_qsl(pair.decode(), keep_blank_values=True))
    ]
    return b"&".join(kept)


def _classify(method: bytes, raw: bytes, segments: list[str], query: dict[str, str]) -> ApiTarget:
    """The API server's `RequestInfoFactory`, as far as it matters here."""
    parts = segments if segments[-1] else segments[:-1]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return ApiTarget(raw=raw, verb=method.decode().lower())
    prefixed = ""
    if parts[0] in _OLD_PREFIXES and len(parts) > 1:  # `watch` and `proxy` before a path, still understood
        prefixed, parts = parts[0], parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    resource, name, subresource = (*parts[:3], "", "")[:3]
    verb = prefixed or _verb(_VERBS[method], subresource, query, named=bool(name))
    if not name and verb in {"list", "watch"}:
        name = _selected_name(query.get("fieldSelector", ""))
    streamed = verb == "proxy" or subresource in _STREAMED_SUBRESOURCES
    following = subresource == "log" and _is_true(query, "follow")
    return ApiTarget(
        raw=raw,
        verb=verb,
        group=group,
        version=version,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
        open_ended=verb == "watch" or streamed or following,
        may_upgrade=verb == "watch" or streamed or subresource == "log",
    )


def _verb(method_verb: str, subresource: str, query: dict[str, str], *, named: bool) -> str:
    if subresource == "proxy":
        return "proxy"
    if method_verb == "get" and not named:
        return "watch" if _is_true(query, "watch") else "list"
    if method_verb == "delete" and not named:
        return "deletecollection"
    return method_verb


def _selected_name(selector: str) -> str:
    """The one name that a field selector leaves over; such a list is judged by this name."""
    for term in selector.split(","):
        found = _NAME_TERM.fullmatch(term.strip())
        if found is not None and found[1] not in {".", ".."}:
            return found[1]
    return ""


def _is_true(query: dict[str, str], key: str) -> bool:
    """As the API server reads a boolean parameter: there, and neither `false` nor `0`."""
    return key in query and query[key].lower() not in {"false", "0"}
