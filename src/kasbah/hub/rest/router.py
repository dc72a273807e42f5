"""Which handler answers a path: decided on the raw bytes, so that `group%2Fproject` stays one segment.

A route is a row: method, path with `:name` segments, handler, the record of its parameters, who may call. A segment
written out wins over a parameter. Segments are percent-decoded after the split and never joined again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.responses import Response

from kasbah.hub.rest.access import API, Access
from kasbah.hub.rest.body import MAX_BYTES
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.parameters import P
from kasbah.hub.rest.reply import Reply


class NoParameters(msgspec.Struct, frozen=True):
    """The route asks with its path alone."""


@dataclass(frozen=True, slots=True)
class Route(Generic[P]):
    """One row of the table of routes."""

    method: str
    path: str
    """Below /api/v4."""
    handler: Callable[[Call, P], Awaitable[Reply | Response]]
    parameters: type[P]
    access: Access = API
    max_body_bytes: int = MAX_BYTES


@dataclass(frozen=True, slots=True)
class Match:
    """A route that was found."""

    route: Route[Any]
    values: dict[str, str]
    """The path's parameters, decoded."""


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, Route[Any]] = field(default_factory=dict)


class Router:
    """The table of routes, as a tree of segments."""

    def __init__(self, routes: Iterable[Route[Any]]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in route.path.strip("/").split("/"):
                node = _child(node, segment)
            if route.method in node.routes:
                raise ValueError(f"two routes for {route.method} {route.path}")
            node.routes[route.method] = route

    def match(self, method: str, raw_path: bytes) -> Match | frozenset[str] | None:
        """The route; or the methods this path does take; or None when there is no such path."""
        segments = _decoded(raw_path)
        node = _walk(self._root, segments, 0) if segments is not None else None
        if segments is None or node is None:
            return None
        route = node.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            return frozenset(node.routes)
        names = route.path.strip("/").split("/")
        return Match(
            route, {name[1:]: text for name, text in zip(names, segments, strict=True) if name[0] == ":"}
        )


def _child(node: _Node, segment: str) -> _Node:
    if not segment.startswith(":"):
        return node.literals.setdefault(segment, _Node())
    if node.parameter is None:
        node.parameter = _Node()
    return node.parameter


def _walk(node: _Node, segments: list[str], depth: int) -> _Node | None:
    """The node of these segments; recursion ends with the table, which is a few segments deep."""
    if depth == len(segments):
        return node if node.routes else None
    literal = node.literals.get(segments[depth])
    found = _walk(literal, segments, depth + 1) if literal is not None else None
    if found is None and node.parameter is not None:
        found = _walk(node.parameter, segments, depth + 1)
    return found


def _decoded(raw_path: bytes) -> list[str] | None:
    """The segments; None when one is empty or no UTF-8, which no route is."""
    try:
        segments = [unquote_to_bytes(segment).decode() for segment in raw_path.strip(b"/").split(b"/")]
    except UnicodeDecodeError:
        return None
    return segments if all(segments) else None
