"""Errors as Kubernetes prints them: `Status` objects in the media type the client takes.

Byte for byte as GitLab's kas: compact JSON, indented for people (curl, browsers), YAML and
protobuf when asked for, and a plain 406 for whoever takes none of them. Pure; knows no HTTP but `Accept`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

import msgspec

MESSAGE_PREFIX: Final = "GitLab Agent Server: "
_REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_JSON, _YAML, _PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_PEOPLE = re.compile(rb"^(?:curl|Wget|Mozilla)/")
_MAX_ACCEPT_MEMBERS = 32
# Go's encoder escapes what a browser could take for markup.
_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def is_from_kas(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether an answer is kas' own, GitLab's or ours; names of headers in lower case."""
    return "gitlab-unauthorized" in headers or MESSAGE_PREFIX.encode() in body


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failure to be told."""

    code: int
    text: str
    """What failed, and why, without prefix and trace id."""
    trace_id: str = ""
    retry_after_s: int = 0

    @property
    def message(self) -> str:
        """GitLab's sentence: prefix, text, trace id."""
        trace = f". Trace ID: {self.trace_id}" if self.trace_id else ""
        return f"{MESSAGE_PREFIX}{self.text}{trace}"


class RenderedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A failure, ready for a response; the code is 406 when the client takes no type of ours."""

    code: int
    content_type: str
    body: bytes


def render(failure: Failure, *, accept: bytes, user_agent: bytes) -> RenderedStatus:
    """The failure in the type this client takes."""
    media_type = _negotiate(accept)
    if media_type is None:
        text = f"only the following media types are accepted: {_JSON}, {_YAML}, {_PROTOBUF}\n"
        return RenderedStatus(code=406, content_type="text/plain; charset=utf-8", body=text.encode())
    if media_type == _JSON:
        indent = 2 if _PEOPLE.match(user_agent) else None
        body = _json(failure, indent=indent)
    elif media_type == _YAML:
        body = _yaml(failure)
    else:
        body = _protobuf(failure)
    return RenderedStatus(code=failure.code, content_type=media_type, body=body)


def _negotiate(accept: bytes) -> str | None:
    """The first type of the client's list that we have; parameters like `as=Table` do not matter for a failure."""
    if not accept.strip():
        return _JSON
    for member in accept.decode("latin-1").split(",")[:_MAX_ACCEPT_MEMBERS]:
        wanted, *parameters = (part.strip().lower() for part in member.split(";"))
        if any(re.fullmatch(r"q=0(?:\.0*)?", parameter) for parameter in parameters):
            continue
        if wanted in {_JSON, "*/*", "application/*"}:
            return _JSON
        if wanted in {_YAML, _PROTOBUF}:
            return wanted
    return None


def document(failure: Failure) -> dict[str, object]:
    """The `Status` object that says this failure."""
    status: dict[str, object] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    status["message"] = failure.message
    if failure.code in _REASONS:
        status["reason"] = _REASONS[failure.code]
    if failure.retry_after_s:
        status["details"] = {"retryAfterSeconds": failure.retry_after_s}
    status["code"] = failure.code
    return status


def _json(failure: Failure, *, indent: int | None) -> bytes:
    separators, end = ((",", ": "), "") if indent else ((",", ":"), "\n")
    text = json.dumps(document(failure), indent=indent, separators=separators, ensure_ascii=False)
    return f"{text.translate(_ESCAPES)}{end}".encode("utf-8", "replace")


def _yaml(failure: Failure) -> bytes:
    """Keys in order of the alphabet, as sigs.k8s.io/yaml writes them; strings in JSON's quotes are YAML too."""
    lines = []
    for key, value in sorted(document(failure).items()):
        if isinstance(value, dict) and value:
            lines += [f"{key}:", *(f"  {inner}: {number}" for inner, number in value.items())]
        else:
            lines.append(f"{key}: {_yaml_scalar(value)}")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _yaml_scalar(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _protobuf(failure: Failure) -> bytes:
    """`runtime.Unknown` around `metav1.Status`, behind the four magic bytes of Kubernetes."""
    status = _field(1, b"") + _field(2, b"Failure") + _field(3, failure.message.encode("utf-8", "replace"))
    if failure.code in _REASONS:
        status += _field(4, _REASONS[failure.code].encode())
    if failure.retry_after_s:
        status += _field(5, b"\x28" + _varint(failure.retry_after_s))
    status += b"\x30" + _varint(failure.code)
    kind = _field(1, b"v1") + _field(2, b"Status")
    return b"k8s\x00" + _field(1, kind) + _field(2, status) + _field(3, b"") + _field(4, b"")


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
