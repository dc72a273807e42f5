"""What an agent may word, and above all what it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.kas.hub_client.module_request import BadModuleRequestError, checked, response_headers


def target(path: str = "/", module: str = "remote_development", **query: list[str]) -> str:
    return checked("GET", module, path, query, {}).target


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "remote_development/"),
        ("/reconcile", "remote_development/reconcile"),
        ("/a/b/", "remote_development/a/b/"),
        ("/a b?c#d", "remote_development/a%20b%3Fc%23d"),
        ("/\u00e4", "remote_development/%C3%A4"),
        ("/100%", "remote_development/100%25"),
        ("/...", "remote_development/..."),
    ],
)
def test_a_path_is_encoded_below_its_module(path, expected):
    assert target(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "//x",
        "/a//b",
        "/..",
        "/../agent_info",
        "/a/../../b",
        "/./a",
        "/a/.",
        "/%2e%2e/agent_info",
        "/%2E%2e",
        "/a%2fb",
        "/a%5cb",
        "/%252e",
        "/a\\b",
        "/..\\x",
        "/..;/x",
        "/a\0",
        "/a\r\nX: y",
        "/a\x7f",
        "/" + "a" * 1025,
        "/a" * 65,
        "/\ud800",
    ],
)
def test_a_path_that_may_lead_elsewhere_is_refused(path):
    with pytest.raises(BadModuleRequestError):
        target(path)


@pytest.mark.parametrize("module", ["", "a" * 65, "A", "a-b", "..", "a/b", "a%2fb", "a b", "\u00e4", "a\n"])
def test_a_module_has_a_plain_name(module):
    with pytest.raises(BadModuleRequestError):
        target(module=module)


@pytest.mark.parametrize("method", ["", "get", "CONNECT", "TRACE", "TRACK", "PRI", "GET /", "A\r\n"])
def test_methods_that_do_more_than_ask_are_refused(method):
    with pytest.raises(BadModuleRequestError):
        checked(method, "a", "/", {}, {})


def test_a_query_is_sorted_and_encoded():
    assert target("/", b=["2", "1"], a=["&=#"]) == "remote_development/?a=%26%3D%23&b=2&b=1"


@pytest.mark.parametrize("query", [{"a": ["1"] * 101}, {"a": ["x" * 20_000]}, {"a": ["\ud800"]}])
def test_a_query_has_bounds(query):
    with pytest.raises(BadModuleRequestError):
        target("/", **query)


def test_only_headers_about_the_content_go_on():
    given_headers = {
        "Content-Type": ["application/json"],
        "If-None-Match": ["a", "b"],
        "Authorization": ["Bearer x"],
        "Gitlab-Kas-Api-Request": ["forged"],
        "Gitlab-Agent-Api-Request": ["forged"],
        "Private-Token": ["x"],
        "Job-Token": ["x"],
        "Cookie": ["x"],
        "Host": ["elsewhere"],
        "Content-Length": ["0"],
        "Transfer-Encoding": ["chunked"],
        "Connection": ["upgrade"],
        "X-Forwarded-For": ["127.0.0.1"],
        "Sudo": ["root"],
    }
    assert checked("PUT", "a", "/", {}, given_headers).headers == (
        (b"Content-Type", b"application/json"),
        (b"If-None-Match", b"a"),
        (b"If-None-Match", b"b"),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"identity"),
    )


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\0", "x" * 20_000])
def test_a_header_that_is_none_is_refused(value):
    with pytest.raises(BadModuleRequestError):
        checked("GET", "a", "/", {}, {"Accept": [value]})


def test_an_answer_shows_its_content_and_nothing_of_the_connection():
    headers = (
        (b"content-type", b"text/plain"),
        (b"ETag", b"a"),
        (b"Set-Cookie", b"x"),
        (b"Connection", b"close"),
        (b"Server", b"x"),
        (b"vary", b"a"),
        (b"Vary", b"\xff"),
    )
    assert response_headers(headers) == {
        "Content-Type": ["text/plain"],
        "Etag": ["a"],
        "Vary": ["a", "\u00ff"],
    }


@given(path=st.text(), module=st.text())
def test_whatever_is_asked_stays_below_its_module_or_is_refused(path, module):
    try:
        made = target(path, module)
    except BadModuleRequestError:
        return
    assert made.startswith(f"{module}/")
    assert not {"..", ".", ""} & set(made.split("/")[:-1])
    assert made.isascii()
