from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire.watch.events import (
    DeepEventError,
    Event,
    UnreadableEventError,
    read_cbor,
    read_json,
    read_protobuf,
)
from tests.doubles.watch_events import cbor_event, json_event, protobuf_event

ERROR = b'{"type":"ERROR","object":{"kind":"Status","metadata":{},"code":410}}\n'
EACH = [(read_json, json_event), (read_protobuf, protobuf_event), (read_cbor, cbor_event)]


@pytest.mark.parametrize(("read", "write"), EACH)
@settings(max_examples=50, deadline=None)
@given(
    kind=st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]),
    version=st.integers(1, 2**63),
    padding=st.text(max_size=300),
)
def test_type_and_version_are_read(read, write, kind: str, version: int, padding: str):  # type: ignore[no-untyped-def]
    assert read(write(kind, version, padding)) == Event(kind, str(version))


@pytest.mark.parametrize(("read", "write"), EACH)
def test_an_unknown_type_is_no_event(read, write):  # type: ignore[no-untyped-def]
    with pytest.raises(UnreadableEventError):
        read(write("CHANGED", 7))


def test_an_error_needs_no_version():
    assert read_json(ERROR) == Event("ERROR", "")
    assert read_protobuf(protobuf_event("ERROR", 1)) == Event("ERROR", "")
    assert read_cbor(cbor_event("ERROR", 1)) == Event("ERROR", "")


def table(metadata: dict[str, str], rows: list[dict[str, object]]) -> bytes:
    document = {"type": "ADDED", "object": {"kind": "Table", "metadata": metadata, "rows": rows}}
    return json.dumps(document).encode()


def test_json_nested_too_deep_is_told_apart():
    with pytest.raises(DeepEventError):
        read_json(json_event("ADDED", 7).replace(b'""', b"[" * 10_000 + b"]" * 10_000))


def test_a_table_tells_its_version_itself_or_in_its_row():
    row: dict[str, object] = {"cells": ["a"], "object": {"metadata": {"resourceVersion": "8"}}}
    assert read_json(table({"resourceVersion": "9"}, [row])) == Event("ADDED", "9")
    assert read_json(table({}, [row])) == Event("ADDED", "8")


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"{}",
        b'{"type":"ADDED"}',
        b"\xff",
        b'{"type":"ADDED","object":{}}',
        b'{"type":"ADDED","object":{"metadata":{"resourceVersion":7}}}',
        b'{"type":"ADDED","object":{"rows":3}}',
        table({}, []),
        table({}, [{"cells": []}]),
    ],
)
def test_json_that_is_no_event_is_said(event: bytes):
    with pytest.raises(UnreadableEventError):
        read_json(event)


@pytest.mark.parametrize(
    "event",
    [
        bytes(4),
        bytes(4) + b"\x0a\x7f",
        bytes(4) + b"\x0a\x05ADDED\x12\x02\x0a\x00",
        bytes(4) + b"\x0b",
        bytes(4) + b"\x08" + b"\xff" * 12,
        bytes(4) + b"\x0d",
        protobuf_event("ADDED", 7)[:-40],
        protobuf_event("\xe9", 7).replace("\xe9".encode(), b"\xff\xff"),
    ],
)
def test_protobuf_that_is_no_event_is_said(event: bytes):
    with pytest.raises(UnreadableEventError):
        read_protobuf(event)


def test_fields_of_every_kind_are_stepped_over():
    event = protobuf_event("ADDED", 7)
    more = b"\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x28\x96\x01"
    assert read_protobuf(bytes(4) + more + event[4:]) == Event("ADDED", "7")


def test_cbor_that_is_torn_is_no_event():
    with pytest.raises(UnreadableEventError):
        read_cbor(cbor_event("ADDED", 7)[:-3])
