from __future__ import annotations

import json

import pytest

from kasbah.wire.kubernetes_status import Failure
from kasbah.wire.watch import cbor
from kasbah.wire.watch.encoding import CBOR, JSON, PROTOBUF, Encoding, find_encoding
from kasbah.wire.watch.events import Event

FAILURE = Failure(code=410, text="too old <long ago>", trace_id="t")


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        (b"application/json", JSON),
        (b"Application/JSON;charset=utf-8", JSON),
        (b"application/vnd.kubernetes.protobuf;stream=watch", PROTOBUF),
        (b"application/vnd.kubernetes.protobuf; stream=watch", PROTOBUF),
        (b"application/vnd.kubernetes.protobuf", None),
        (b"application/cbor-seq", CBOR),
        (b"text/plain", None),
        (b"", None),
    ],
)
def test_the_content_type_names_the_encoding(content_type: bytes, encoding: Encoding | None):
    assert find_encoding(content_type) is encoding


@pytest.mark.parametrize("encoding", [JSON, PROTOBUF, CBOR])
def test_an_error_is_one_whole_event_of_its_encoding(encoding: Encoding):
    event = encoding.error_event(FAILURE)
    assert encoding.scanner().end_of_event(event, 0) == len(event)
    assert encoding.read(event) == Event("ERROR", "")


def test_an_error_is_a_status_inside():
    read = json.loads(JSON.error_event(FAILURE))
    assert read["type"] == "ERROR"
    assert (read["object"]["kind"], read["object"]["reason"], read["object"]["code"]) == (
        "Status",
        "Expired",
        410,
    )
    assert b"too old <long ago>" in PROTOBUF.error_event(FAILURE)
    paths = [("object", "reason"), ("object", "kind")]
    assert cbor.texts(CBOR.error_event(FAILURE), paths) == ["Expired", "Status"]
