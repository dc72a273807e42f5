"""What an agent may ask a module of the Git side for: the only requests kas makes that somebody else words.

The answer to every doubt is no. A path stays below its module: it is checked as it was sent, and once more as it would
be read after a decoding too many; what passes is encoded and put behind a fixed prefix. Of the headers, those go on
that say something about the content; credentials, addresses and the connection's own stay. Methods that make a server
repeat a request's headers are not among those allowed: kas' credential is one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from kasbah.errors import UserError
from kasbah.wire.http1 import Headers
from kasbah.wire.http_call.headers import canonical

Values = Mapping[str, Sequence[str]]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MODULE: Final = re.compile(r"[a-z0-9_]{1,64}")
_SEGMENT: Final = re.compile(r"[^\x00-\x1f\x7f\\;/]{1,1024}")
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_MAX_SEGMENTS: Final = 64
_MAX_PAIRS: Final = 100
_MAX_QUERY_BYTES: Final = 16 * 1024
_MAX_HEADER_BYTES: Final = 16 * 1024
_FIELD_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_REQUEST_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "range",
        "traceparent",
        "tracestate",
        "x-request-id",
    }
)
_RESPONSE_HEADERS: Final = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "ratelimit-limit",
        "ratelimit-observed",
        "ratelimit-remaining",
        "ratelimit-reset",
        "retry-after",
        "vary",
        "x-next-page",
        "x-page",
        "x-per-page",
        "x-prev-page",
        "x-request-id",
        "x-total",
        "x-total-pages",
    }
)


class BadModuleRequestError(UserError):
    """The request is not one that kas makes for an agent."""


@dataclass(frozen=True, slots=True)
class ModuleRequest:
    """A request that may be made.

    Attributes:
        method: one that has no side effect on the connection.
        target: path and query below `modules/`, encoded.
        headers: those that go on.
    """

    method: str
    target: str
    headers: Headers


def checked(method: str, module: str, url_path: str, query: Values, headers: Values) -> ModuleRequest:
    """The request an agent worded, its path and query not encoded.

    Raises:
        BadModuleRequestError: kas does not make such a request.
    """
    if method not in _METHODS:
        raise BadModuleRequestError(f"the method must be one of {', '.join(sorted(_METHODS))}")
    if not _MODULE.fullmatch(module):
        raise BadModuleRequestError("module_name must be 1 to 64 of a-z, 0-9 and _")
    pairs = _query(query)
    return ModuleRequest(
        method, module + _path(url_path) + (f"?{pairs}" if pairs else ""), _request_headers(headers)
    )


def response_headers(headers: Headers) -> dict[str, list[str]]:
    """What an agent sees of the answer's headers, names as Go writes them."""
    shown: dict[str, list[str]] = {}
    for name, value in headers:
        text = name.decode("latin-1").lower()
        if text in _RESPONSE_HEADERS:
            shown.setdefault(canonical(name), []).append(value.decode("latin-1"))
    return shown


def _path(url_path: str) -> str:
    if not url_path.startswith("/"):
        raise BadModuleRequestError("url_path must start with '/'")
    segments = url_path[1:].split("/")
    if len(segments) > _MAX_SEGMENTS:
        raise BadModuleRequestError(f"url_path has over {_MAX_SEGMENTS} segments")
    for segment in segments if segments[-1] else segments[:-1]:
        if not _SEGMENT.fullmatch(segment) or segment in {".", ".."} or _ESCAPE.search(segment):
            raise BadModuleRequestError(
                "url_path holds an empty, '.' or '..' segment, an escape, a backslash, a semicolon, a control"
                " character, or more than 1024 characters in a segment"
            )
    return _encoded(url_path)


def _encoded(url_path: str) -> str:
    try:
        return quote(url_path, safe="/-._~!$&'()*+,=:@")
    except UnicodeEncodeError as error:
        raise BadModuleRequestError("url_path is not UTF-8") from error


def _query(query: Values) -> str:
    """Sorted by key: their order was lost on the way."""
    pairs = [(key, value) for key in sorted(query) for value in query[key]]
    if len(pairs) > _MAX_PAIRS:
        raise BadModuleRequestError(f"the query has over {_MAX_PAIRS} parameters")
    try:
        text = urlencode(pairs)
    except UnicodeEncodeError as error:
        raise BadModuleRequestError("the query is not UTF-8") from error
    if len(text) > _MAX_QUERY_BYTES:
        raise BadModuleRequestError(f"the query is over {_MAX_QUERY_BYTES} bytes")
    return text


def _request_headers(headers: Values) -> Headers:
    kept = []
    for name, values in headers.items():
        if name.lower() in _REQUEST_HEADERS:
            kept += [(name.encode(), value.encode("utf-8", "replace")) for value in values]
    if sum(len(name) + len(value) for name, value in kept) > _MAX_HEADER_BYTES:
        raise BadModuleRequestError(f"the headers are over {_MAX_HEADER_BYTES} bytes")
    if any(not _FIELD_VALUE.fullmatch(value) for _, value in kept):
        raise BadModuleRequestError("a header's value holds a control character")
    names = {name.lower() for name, _ in kept}
    defaults = ((b"Accept", b"*/*"), (b"Accept-Encoding", b"identity"))
    return (*kept, *((name, value) for name, value in defaults if name.lower() not in names))
