from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire import kubernetes_status, status_body
from kasbah.wire.kubernetes_status import Failure

DOCUMENT: dict[str, Any] = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": 'pods "web" is forbidden: no',
    "reason": "Forbidden",
    "details": {"name": "web", "group": "g", "kind": "pods", "causes": [{"reason": "x"}]},
    "code": 403,
}
JSON = json.dumps(DOCUMENT, separators=(",", ":")).encode() + b"\n"
# As an API server writes it: `details` with an empty group, `Unknown` with empty encodings.
DETAILS = b"\n\x03web\x12\x00\x1a\x04pods(\x002\x00"
STATUS = b"\n\x06\n\x00\x12\x00\x1a\x00\x12\x07Failure\x1a\x02no\x22\tForbidden*\x0f" + DETAILS + b"0\x93\x03"


def wrapped(status: bytes) -> bytes:
    return b"k8s\x00\n\x0c\n\x02v1\x12\x06Status\x12" + bytes([len(status)]) + status + b'\x1a\x00"\x00'


def wrapped_long(status: bytes) -> bytes:
    """The same for 128 bytes and more."""
    length = bytes([len(status) & 127 | 128, len(status) >> 7])
    return b"k8s\x00\n\x0c\n\x02v1\x12\x06Status\x12" + length + status


PROTOBUF = wrapped(STATUS)
TYPES = {
    "json": b"application/json",
    "protobuf": b"application/vnd.kubernetes.protobuf",
    "cbor": b"application/cbor",
}


def cbor(value: object) -> bytes:
    """As Kubernetes writes it: text as byte strings."""
    match value:
        case bool() | None:
            return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
        case int():
            return head(0, value)
        case str():
            return head(2, len(value.encode())) + value.encode()
        case list():
            return head(4, len(value)) + b"".join(map(cbor, value))
        case dict():
            return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())
    raise AssertionError(value)


def head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for short, width in ((24, 1), (25, 2), (26, 4)):
        if number < 1 << 8 * width:
            return bytes([major << 5 | short]) + number.to_bytes(width, "big")
    raise AssertionError(number)


CBOR = b"\xd9\xd9\xf7" + cbor(DOCUMENT)
BODIES = {"json": JSON, "protobuf": PROTOBUF, "cbor": CBOR}


def read(kind: str, body: bytes | None = None) -> status_body.StatusBody:
    found = status_body.read(TYPES[kind], BODIES[kind] if body is None else body)
    assert found is not None
    return found


@pytest.mark.parametrize(("kind", "group"), [("json", "g"), ("protobuf", ""), ("cbor", "g")])
def test_the_message_and_the_details_are_read(kind, group):
    found = read(kind)
    assert found.message == ("no" if kind == "protobuf" else DOCUMENT["message"])
    assert (found.group, found.kind, found.name) == (group, "pods", "web")


@pytest.mark.parametrize("kind", TYPES)
def test_the_same_message_makes_the_same_body(kind):
    found = read(kind)
    assert found.with_message(found.message) == BODIES[kind]


@pytest.mark.parametrize("kind", TYPES)
@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=300))
def test_any_message_comes_back_and_nothing_else_changes(kind, text):
    changed = read(kind, read(kind).with_message(text))
    assert changed.message == text
    assert changed.with_message(read(kind).message) == BODIES[kind]


def test_a_long_message_gets_a_longer_length():
    for kind in TYPES:
        for length in (0, 23, 24, 127, 128, 255, 256, 16384, 65536):
            assert read(kind, read(kind).with_message("x" * length)).message == "x" * length


def test_a_body_for_people_stays_indented():
    body = json.dumps(DOCUMENT, indent=2).encode()
    assert read("json", body).with_message("<a>") == body.replace(
        json.dumps(DOCUMENT["message"]).encode(), b'"\\u003ca\\u003e"'
    )


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ('{"kind":"Status","apiVersion":"v1","a":1e999,"b":[1.0e2, -0],"message": ', "}"),
        ('{\n\t"apiVersion" : "v1",\r\n"message":', ' , "\\u006bind":"Status","c":{"x":"\\u00e9<"}}\n\n'),
        ('{"details":null,"kind":"Status","apiVersion":"v1","message":', ',"d":true}'),
    ],
)
def test_json_is_cut_at_the_message_alone(before: str, behind: str):
    found = read("json", f'{before}"no"{behind}'.encode())
    assert found.with_message('"<é>"') == f'{before}"\\"\\u003cé\\u003e\\""{behind}'.encode()


def test_what_a_stranger_has_nested_grows_by_the_message_alone():
    bomb = "[" * 900 + ",".join(["1"] * 31_000) + "]" * 900
    body = f'{{\n"kind":"Status","apiVersion":"v1","message":"no","d":{bomb}}}'.encode()
    assert len(read("json", body).with_message("now")) == len(body) + 1


def test_parts_are_not_endless():
    counts = (900, 1000)
    bodies = {
        "json": [json.dumps(DOCUMENT | {f"m{n}": 1 for n in range(count)}).encode() for count in counts],
        "protobuf": [wrapped_long(STATUS + b"\x50\x01" * count) for count in counts],
        "cbor": [cbor(DOCUMENT | {"more": [1] * count}) for count in counts],
    }
    for kind, (allowed, too_many) in bodies.items():
        assert read(kind, allowed).name == "web"
        assert status_body.read(TYPES[kind], too_many) is None


def test_our_own_failures_can_be_read_too():
    failure = Failure(code=403, text="no", retry_after_s=7)
    for kind in ("json", "protobuf"):
        body = kubernetes_status.render(failure, accept=TYPES[kind], user_agent=b"").body
        assert read(kind, body).message == "GitLab Agent Server: no"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("json", b""),
        ("json", b"{"),
        ("json", b"\xff"),
        ("json", b"[]"),
        ("json", b"[" * 100_000),
        ("json", b"{}"),
        ("json", b"{" + b"[" * 100_000),
        ("json", JSON + b"{}"),
        ("json", JSON.replace(b"403}", b"403,}")),
        ("json", JSON.replace(b',"code"', b' "code"')),
        ("json", JSON.replace(b'"code":', b'"code" ')),
        ("json", JSON.replace(b'"code"', b"7")),
        ("json", JSON.replace(b"403", b"NaN")),
        ("json", JSON.replace(b"403", b"-Infinity")),
        ("json", JSON.replace(b"{}", b'{"a":1,"a":1}')),
        ("json", JSON.decode().encode("utf-16")),
        ("json", JSON.replace(b'"Status"', b'"Pod"')),
        ("json", JSON.replace(b'"v1"', b'"v2"')),
        ("json", JSON.replace(b'"message":', b'"massage":')),
        ("json", JSON.replace(b'"code":', b'"message":')),
        ("json", json.dumps(DOCUMENT | {"message": 7}).encode()),
        ("json", json.dumps(DOCUMENT | {"details": []}).encode().replace(b"[]", b"[1]")),
        ("json", json.dumps(DOCUMENT | {"details": {"name": 7}}).encode()),
        ("protobuf", b""),
        ("protobuf", b"k8s\x00"),
        ("protobuf", b"k8x" + PROTOBUF[3:]),
        ("protobuf", PROTOBUF[:-20]),
        ("protobuf", PROTOBUF.replace(b"Status", b"Static")),
        ("protobuf", PROTOBUF + PROTOBUF[4:]),
        ("protobuf", PROTOBUF.replace(b"\x1a\x02no", b"\x3a\x02no")),
        ("protobuf", PROTOBUF.replace(b"\x1a\x02no", b"\x1a\x02\xff\xff")),
        ("protobuf", b"k8s\x00\n\x04\n\x02v1\x12\x00"),
        ("protobuf", b"k8s\x00\x0b"),
        ("protobuf", b"k8s\x00\x08" + b"\xff" * 11),
        ("protobuf", b"k8s\x00\x09\x01"),
        ("cbor", b""),
        ("cbor", b"\xd9\xd9\xf7"),
        ("cbor", CBOR[:-3]),
        ("cbor", CBOR + b"\x00"),
        ("cbor", b"\xbf\xff"),
        ("cbor", b"\x81" * 100),
        ("cbor", b"\x1b\x00"),
        ("cbor", b"\x80"),
        ("cbor", cbor(DOCUMENT | {"kind": "Pod"})),
        ("cbor", cbor(DOCUMENT | {"message": 7})),
        ("cbor", cbor({"kind": "Status", "apiVersion": "v1"})),
        ("cbor", head(5, 2) + cbor("message") + cbor("a") + cbor("message") + cbor("a")),
    ],
)
def test_what_is_no_status_is_not_read(kind, body):
    assert status_body.read(TYPES[kind], body) is None


def test_a_cut_off_body_is_never_a_crash():
    for kind, body in BODIES.items():
        for end in range(len(body) - 1):
            status_body.read(TYPES[kind], body[:end])


@settings(deadline=None)
@given(data=st.binary(max_size=200), kind=st.sampled_from(list(TYPES)))
def test_no_bytes_are_a_crash(data, kind):
    status_body.read(TYPES[kind], data)
    status_body.read(TYPES[kind], b"k8s\x00" + data)


def test_details_may_be_missing():
    bare = {key: value for key, value in DOCUMENT.items() if key != "details"}
    for found in (read("json", json.dumps(bare).encode()), read("cbor", cbor(bare))):
        assert (found.group, found.kind, found.name) == ("", "", "")
    without = STATUS.replace(b"*\x0f" + DETAILS, b"")
    assert len(without) < len(STATUS)
    assert read("protobuf", wrapped(without)).name == ""


def test_fields_of_every_kind_survive():
    more = b"\x09" + b"8" * 8 + b"\x4d" + b"4" * 4 + b"\x50\x96\x01"
    assert more in read("protobuf", wrapped(STATUS + more)).with_message("other")
    document = DOCUMENT | {"more": [1, 300, 70000, None, True, {"a": ["b"]}]}
    tagged = head(5, len(document) + 1) + cbor(document)[1:] + cbor("t") + b"\xd6\x40"
    found = read("cbor", tagged)
    assert found.with_message(found.message) == tagged


@pytest.mark.parametrize("content_type", [b"", b"text/plain", b"application/yaml"])
def test_other_types_are_not_read(content_type):
    assert status_body.read(content_type, JSON) is None


def test_parameters_of_a_type_do_not_matter():
    assert status_body.read(b"Application/JSON; charset=utf-8", JSON) is not None
