"""Targets as GitLab's wire has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.errors import PeerError
from kasbah.wire.http_call.targets import decode_target, encode_target
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        (b"/version", "/version", {}),
        (b"/", "/", {}),
        (b"/api/v1/a%20b%C3%BC%3F", "/api/v1/a bü?", {}),
        (b"/x?watch=1&labelSelector=a%3Db%2Cc", "/x", {"watch": ["1"], "labelSelector": ["a=b,c"]}),
        (b"/x?a=2+3&b&a=%2B", "/x", {"a": ["2 3", "+"], "b": [""]}),
        (b"/x?", "/x", {}),
        (b"/x?&&a=b=c", "/x", {"a": ["b=c"]}),
        (b"/.well-known/a..b", "/.well-known/a..b", {}),
    ],
)
def test_a_target_is_decoded(raw: bytes, path: str, query: dict[str, list[str]]):
    decoded, parameters = decode_target(raw)
    assert decoded == path
    assert {key: list(values.value) for key, values in parameters.items()} == query


@pytest.mark.parametrize(
    "raw", [b"/a%2Fb", b"/a%2fb", b"/%2e%2e/a", b"/a/.", b"/../b", b"/a%ff", b"/a?b=%ff", b"/a?%ff"]
)
def test_what_would_mean_something_else_is_refused(raw: bytes):
    with pytest.raises(PeerError, match="cannot carry"):
        decode_target(raw)


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/version", {}, "/version"),
        (
            '/a b/ü/?#%25/\r\n"<>[]\\^`{|}',
            {},
            "/a%20b/%C3%BC/%3F%23%2525/%0D%0A%22%3C%3E%5B%5D%5C%5E%60%7B%7C%7D",
        ),
        ("/a:b@c!$&'()*+,;=-._~", {}, "/a:b@c!$&'()*+,;=-._~"),
        ("/x", {"b": ["2", "1"], "a": ["x y&=+/ü"]}, "/x?a=x+y%26%3D%2B%2F%C3%BC&b=2&b=1"),
        ("/x", {"a": []}, "/x"),
        ("/x", {"a": [""]}, "/x?a="),
    ],
)
def test_a_target_is_encoded_with_its_keys_in_order(path: str, query: dict[str, list[str]], target: str):
    assert encode_target(path, {key: Values(value=values) for key, values in query.items()}) == target


segments = st.text(min_size=1, max_size=8).filter(lambda s: "/" not in s and s not in {".", ".."})
texts = st.text(max_size=8)


@given(
    st.lists(segments, max_size=4),
    st.dictionaries(texts, st.lists(texts, min_size=1, max_size=3), max_size=3),
)
def test_what_was_encoded_is_decoded_again(path: list[str], query: dict[str, list[str]]):
    original = "/" + "/".join(path)
    parameters = {key: Values(value=values) for key, values in query.items()}
    assert decode_target(encode_target(original, parameters).encode()) == (original, parameters)
