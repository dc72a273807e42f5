"""Header lines and maps of them."""

from __future__ import annotations

import pytest

from kasbah.wire.http_call.headers import canonical, header_lines, header_map, values_of
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode

NOTHING: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        (b"accept", "Accept"),
        (b"WWW-Authenticate", "Www-Authenticate"),
        (b"ETag", "Etag"),
        (b"Sec-WebSocket-Key", "Sec-Websocket-Key"),
        (b"x-stream-protocol-version", "X-Stream-Protocol-Version"),
        (b"x--y", "X--Y"),
        (b"x_y", "X_y"),
    ],
)
def test_names_go_out_as_go_spells_them(name: bytes, spelled: str):
    assert canonical(name) == spelled


def test_lines_of_one_name_become_its_values_in_order():
    headers = header_map([b"Warning: one", b"ACCEPT:  a/b ", b"warning:two", b"Empty:"])
    assert headers == {
        "Warning": Values(value=["one", "two"]),
        "Accept": Values(value=["a/b"]),
        "Empty": Values(value=[""]),
    }


def test_a_value_that_is_not_utf_8_is_read_as_latin_1():
    assert header_map([b"A: caf\xe9", b"B: caf\xc3\xa9"]) == {
        "A": Values(value=["café"]),
        "B": Values(value=["café"]),
    }


def test_what_belongs_to_one_connection_is_left_out_in_any_spelling():
    names = [
        "connection",
        "Proxy-Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "PROXY-AUTHORIZATION",
        "Te",
    ]
    names += ["Trailer", "Transfer-Encoding", "Upgrade", "host", "X-Mine", "Dropped"]
    headers = {name: Values(value=["x-mine , Foo"]) for name in [*names, "Accept"]}
    assert header_lines(headers, frozenset({"dropped"})) == ["Accept: x-mine , Foo"]


def test_lines_come_in_order_of_their_names_however_the_map_is_built():
    headers = {"B": Values(value=["2", "1"]), "A": Values(value=["3"])}
    assert header_lines(headers, NOTHING) == ["A: 3", "B: 2", "B: 1"]


@pytest.mark.parametrize("value", ["a\r\nImpersonate-User: admin", "a\nb", "a\rb", "a\0b", "\x7f"])
def test_a_value_that_could_split_the_line_is_refused(value: str):
    with pytest.raises(RpcError) as caught:
        header_lines({"A": Values(value=[value])}, NOTHING)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "é", " a"])
def test_a_name_that_is_none_is_refused(name: str):
    with pytest.raises(RpcError):
        header_lines({name: Values(value=["v"])}, NOTHING)


def test_tabs_and_letters_of_all_languages_pass():
    assert header_lines({"A": Values(value=["a\tb ü 漢"])}, NOTHING) == ["A: a\tb ü 漢"]


def test_values_are_found_in_any_spelling():
    assert values_of({"UPGRADE": Values(value=["a"]), "Upgrade": Values(value=["b"])}, "upgrade") == [
        "a",
        "b",
    ]
