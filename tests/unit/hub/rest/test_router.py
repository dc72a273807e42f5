"""Paths are matched as they were sent."""

from __future__ import annotations

import pytest

from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import Match, NoParameters, Route, Router


async def nothing(_call, _parameters) -> Reply:
    return Reply.empty()


def row(method: str, path: str) -> Route[NoParameters]:
    return Route(method, path, nothing, NoParameters)


ROUTER = Router(
    [
        row("GET", "/projects"),
        row("POST", "/projects"),
        row("GET", "/projects/:id"),
        row("GET", "/projects/:id/agents/:agent_id"),
        row("GET", "/tokens/self"),
        row("DELETE", "/tokens/:token_id"),
        row("GET", "/tokens/:token_id"),
        row("POST", "/tokens/self/rotate"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "route", "values"),
    [
        ("GET", b"projects", "/projects", {}),
        ("GET", b"projects/", "/projects", {}),
        ("HEAD", b"projects", "/projects", {}),
        ("GET", b"projects/7", "/projects/:id", {"id": "7"}),
        ("GET", b"projects/a%2Fb%2Fc", "/projects/:id", {"id": "a/b/c"}),
        ("GET", b"projects/%C3%A9", "/projects/:id", {"id": "é"}),
        (
            "GET",
            b"projects/a%2fb/agents/9",
            "/projects/:id/agents/:agent_id",
            {"id": "a/b", "agent_id": "9"},
        ),
        ("GET", b"tokens/self", "/tokens/self", {}),
        ("GET", b"tokens/8", "/tokens/:token_id", {"token_id": "8"}),
    ],
)
def test_a_route_is_found_with_its_values(method, path, route, values):
    match = ROUTER.match(method, path)
    assert isinstance(match, Match)
    assert (match.route.path, match.values) == (route, values)


@pytest.mark.parametrize(
    "path", [b"", b"nope", b"projects/a/b", b"projects/7/agents", b"projects//agents/1", b"projects/%ff"]
)
def test_what_is_no_route_is_none(path):
    assert ROUTER.match("GET", path) is None


def test_the_methods_of_a_path_are_named():
    assert ROUTER.match("PATCH", b"projects") == {"GET", "POST"}


def test_two_routes_of_one_place_are_our_mistake():
    with pytest.raises(ValueError, match="two routes for GET /a"):
        Router([row("GET", "/a"), row("GET", "/a")])
