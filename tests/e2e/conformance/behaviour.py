"""What a behaviour is, and how two sights of it are made comparable.

A behaviour is a function that does something at one side and tells what it saw. It is run at the API server and through
kas; what both tell must be equal, or differ exactly as it says, under the key of a row in the table of
docs/reference/kubernetes-api.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.conformance import cbor
from tests.e2e.conformance.raw_http import Answer
from tests.e2e.conformance.side import Side

Seen = Any
"""Whatever can be compared with `==` and printed."""
Do = Callable[[Side], Seen]
Stated = Callable[[Seen, Seen], bool]
"""Whether what the API server said and what came through kas differ as the page says."""

CBOR = "application/cbor"
# Differences of every answer, in the page's table under `headers`.
OWN_HEADERS = frozenset(
    {
        "audit-id",
        "cache-control",
        "cdn-cache-control",
        "content-length",  # the client has counted, and times and names may differ in length
        "content-security-policy",
        "cross-origin-resource-policy",
        "date",
        "expires",
        "referrer-policy",
        "surrogate-control",
        "transfer-encoding",  # as `framing`
        "vary",
        "via",
        "x-content-type-options",
    }
)
# Go counts a body itself up to 2 KiB, so there a longer number decides about the framing.
_EITHER_FRAMING = range(1900, 2200)
_CHANGING = [
    (re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), b"<uid>"),
    (re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), b"<time>"),
    (re.compile(rb'("?resourceVersion"?: ?\\?"?)\d+'), rb"\1<version>"),
    (re.compile(rb"\x12[\x01-\x08]\d+\x1a\x00"), b"<version>"),  # of a list, in protobuf
    (re.compile(rb"current: \d+"), b"current: <version>"),
    (re.compile(rb"https://[\w.-]+:\d+(?:/-/kubernetes-agent/k8s-proxy)?"), b"<server>"),
]
_AGE = re.compile(r"(?<![\w.-])(?:\d+[dhms])+(?![\w.-])")
_ONE_RUN = [
    (re.compile(r"^[EWI]\d{4} [\d:.]+ .*\n", re.MULTILINE), ""),  # the client's own log
    (re.compile(r"/tmp/(LIVE|MERGED)-\d+"), r"<\1>"),
    (re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}"), "<time>"),
    (re.compile(r"(?<=web-)[a-z0-9]{6,10}-[a-z0-9]{5}"), "<pod>"),
    (re.compile(r"\b10\.96\.\d+\.\d+"), "<address>"),
]
_SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One named behaviour."""

    name: str
    do: Do
    who: str = "dora"
    grpc: bool = False
    """Also seen through an agentk that takes the gRPC tunnel."""
    difference: str = ""
    stated: Stated | None = None
    changing: bool = False
    """It looks at what changes by itself, so unequal sights are looked at again."""
    slow: bool = False
    """It waits for controllers, so it starts first."""

    def __str__(self) -> str:
        return re.sub(r"[^\w.+=,/ -]", "", self.name).replace(" ", "-")


ALL: list[Behaviour] = []


def behaviour(name: str, **how: Any) -> Callable[[Do], Do]:
    """Enters the function below into the list."""

    def enter(do: Do) -> Do:
        ALL.append(Behaviour(name=name, do=do, **how))
        return do

    return enter


def plain(data: bytes, side: Side) -> bytes:
    """The bytes without what differs between two objects of the same making."""
    data = data.replace(side.namespace_name.encode(), b"<namespace>")
    for pattern, instead in _CHANGING:
        data = pattern.sub(instead, data)
    return data


def said(text: str, side: Side) -> str:
    """What a command line tool said, without what each run has of its own, ages, and the width of its columns."""
    for pattern, instead in _ONE_RUN:
        text = pattern.sub(instead, text)
    return _SPACES.sub(" ", _AGE.sub("<age>", plain(text.encode(), side).decode()))


def seen(answer: Answer, side: Side) -> dict[str, Seen]:
    """Everything of an answer that must be equal."""
    return {
        "status": (answer.status, answer.reason),
        "interim": answer.interim,
        "framing": "either" if len(answer.body) in _EITHER_FRAMING else answer.framing,
        "headers": headers(answer),
        "trailers": answer.trailers,
        "body": _body(answer, side),
    }


def _body(answer: Answer, side: Side) -> Seen:
    """The bytes; of CBOR the value, because Go's maps have no order and this encoder keeps it that way."""
    data = plain(answer.unpacked, side)
    if answer.value("Content-Type").startswith("application/cbor;") or answer.value("Content-Type") == CBOR:
        return json.loads(plain(json.dumps(cbor.decode(answer.unpacked), sort_keys=True).encode(), side))
    return data


def headers(answer: Answer) -> dict[str, list[str]]:
    """The headers that must be equal."""
    names = {name.lower() for name, _ in answer.headers} - OWN_HEADERS
    return {name.title(): answer.values(name) for name in names}
